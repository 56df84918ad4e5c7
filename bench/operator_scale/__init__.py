"""The operator and the router with many models on a real API server: how what they cost grows."""
