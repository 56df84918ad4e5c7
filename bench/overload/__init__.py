"""Ten times the load: who gets in, who is told to come back, and whether that was right."""
