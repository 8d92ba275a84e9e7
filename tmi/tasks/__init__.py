"""Tasks: tiles, template tasks, scenes, data sets and exact matching (Definitions 3.1 to 3.6 of the paper)."""
