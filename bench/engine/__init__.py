"""The batch engine beside what else serves the same model: tokens per second and time to the first token."""
