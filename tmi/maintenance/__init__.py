"""Maintenance of a store: what it holds, whether it is sound, what can be removed, and a part of it to give away."""
