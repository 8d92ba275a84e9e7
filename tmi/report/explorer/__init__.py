"""The explorer: a page in which a reader moves a tile over a background and sees what networks make of it, in the browser."""

from __future__ import annotations

from .page import section, write

__all__ = ["section", "write"]
