"""Measures of attributions: each scores maps against the truth, image by image."""
