"""Suites: from a TOML file to a plan of cells with their keys."""
