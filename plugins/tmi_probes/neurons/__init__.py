"""What do single neurons say? How often they are active, for what, and whether they are the exact features."""
