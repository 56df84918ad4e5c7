"""From the server that this project replaces, and back: its models.yaml, its environment, its comments."""
