"""What changes the answer? Other backgrounds, other places, deformed tiles, and what is certified not to."""
