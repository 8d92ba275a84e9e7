"""The process: the guard around plug-in calls, seeds, threads, time limits, signals, progress, formatting, style of figures."""

from typing import TYPE_CHECKING

from tmi._lazy import submodules

if not TYPE_CHECKING:  # a type checker would take every name for one of the package
    __getattr__ = submodules(__name__)
