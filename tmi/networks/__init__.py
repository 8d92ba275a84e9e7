"""Networks: a torch module with named layers, and what is known about its neurons."""

from typing import TYPE_CHECKING

from tmi._lazy import submodules

if not TYPE_CHECKING:  # a type checker would take every name for one of the package
    __getattr__ = submodules(__name__)
