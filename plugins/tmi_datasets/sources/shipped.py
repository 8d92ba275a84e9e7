"""The folder of the data that comes with the package."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """Return the folder of a data set that ships with tmi, as ``"fashion-mnist"``.

    An installed package carries the repository's ``datasets/`` as its own ``data/``; a checkout has it two folders up.
    """
    package = Path(__file__).parents[1]
    installed = package / "data"
    return (installed if installed.is_dir() else package.parents[1] / "datasets") / name
