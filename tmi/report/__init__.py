"""The report of a run: one self-contained HTML page, and the pieces that report plug-ins write it with."""

from __future__ import annotations

from .html import Section, bullets, figure, folded, paragraph, table

__all__ = ["Section", "bullets", "figure", "folded", "paragraph", "table"]
