"""Modules that are imported when they are first used, as ``tmi.report.page`` after ``import tmi`` alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType


def submodules(package: str) -> Callable[[str], ModuleType]:
    """Return the ``__getattr__`` of a package whose modules are imported when they are first used."""

    def find(name: str) -> ModuleType:
        module = f"{package}.{name}"
        if not name.startswith("_"):
            try:
                return import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:  # a library that the module needs
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
