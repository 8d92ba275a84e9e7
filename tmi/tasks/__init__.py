"""Tasks: tiles, template tasks, scenes, data sets and exact matching (Definitions 3.1 to 3.6 of the paper)."""

from typing import TYPE_CHECKING

from tmi._lazy import submodules

if not TYPE_CHECKING:  # a type checker would take every name for one of the package
    __getattr__ = submodules(__name__)
