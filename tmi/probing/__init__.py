"""Probing: the results of probes, the declarations of attribution methods and measures, and a check that nothing is modified."""

from typing import TYPE_CHECKING

from tmi._lazy import submodules

if not TYPE_CHECKING:  # a type checker would take every name for one of the package
    __getattr__ = submodules(__name__)
