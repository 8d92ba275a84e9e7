"""Tasks: what an image means, Definitions 3.1 to 3.6."""
