"""The report of a run: one self-contained HTML page, written again only when something in it changed."""

from __future__ import annotations

from .page import Section, write

__all__ = ["Section", "write"]
