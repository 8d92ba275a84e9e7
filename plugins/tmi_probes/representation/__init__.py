"""Representation: how alike layers are, and which scenes and pictures activate a unit most."""
