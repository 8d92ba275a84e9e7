"""Runs: execute a plan with a store and an engine, and return the results; progress and estimates."""

from typing import TYPE_CHECKING

from tmi._lazy import submodules

if not TYPE_CHECKING:  # a type checker would take every name for one of the package
    __getattr__ = submodules(__name__)
