"""The version of tmi."""

__version__ = "0.1.0"
