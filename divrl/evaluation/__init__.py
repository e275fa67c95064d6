"""What a model can do on held-out prompts, and in how many ways."""
