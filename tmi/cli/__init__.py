"""The command ``tmi``: a file for each group of subcommands."""

from __future__ import annotations

from .command import main

__all__ = ["main"]
