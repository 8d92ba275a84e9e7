"""Housekeeping of a store: what it holds, whether it is sound, what may go, and a part of it to give away."""

from __future__ import annotations

from .exports import Exported, export, write_table
from .holdings import info
from .pruning import Pruned, prune
from .verification import Verified, verify

__all__ = ["Exported", "Pruned", "Verified", "export", "info", "prune", "verify", "write_table"]
