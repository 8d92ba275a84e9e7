"""Maintenance of a store: list, verify, recompute, compare, prune and export what it holds."""
