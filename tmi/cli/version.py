"""``tmi --version``: the versions on which numbers depend, without importing the libraries."""

from __future__ import annotations

import platform
from importlib import metadata

from tmi._version import __version__

LIBRARIES = ("torch", "captum", "numpy")


def version() -> str:
    """Return one line each for tmi, Python, the libraries that compute, and the platform."""
    lines = [("tmi", __version__), ("Python", platform.python_version())]
    for library in LIBRARIES:
        try:
            lines.append((library, metadata.version(library)))
        except metadata.PackageNotFoundError:
            lines.append((library, "not installed"))
    lines.append(("platform", platform.platform()))
    return "\n".join(f"{name} {value}" for name, value in lines)
