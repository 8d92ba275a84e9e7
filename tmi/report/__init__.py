"""The report of a run: one self-contained HTML page, and the functions with which report plug-ins write their sections."""

from __future__ import annotations

from .html import Section, bullets, code, definitions, figure, folded, for_probes, paragraph, table
from .sweep_sections import sweeps

__all__ = ["Section", "bullets", "code", "definitions", "figure", "folded", "for_probes", "paragraph", "sweeps", "table"]
