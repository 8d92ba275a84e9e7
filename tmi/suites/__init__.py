"""Suites: a TOML file is read, checked and turned into a plan of cells, each with its keys."""
