"""Checks of tiles that were made from picture files: errors name the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import tmi
from tmi.errors import InputError


@contextmanager
def naming_files(files: Mapping[str, object]) -> Iterator[None]:
    """Add to an error that names tiles by class and number, as ``cat/0``, which files they are."""
    try:
        yield
    except InputError as error:
        named = [f"{tile} is {file}" for tile, file in files.items() if f"tile {tile} " in str(error)]
        raise InputError(f"{error}{'; ' if named else ''}{', '.join(named)}") from None


def check_different(tiles: Sequence[tmi.FeatureTile], classes: Sequence[object], files: Sequence[object]) -> None:
    """Refuse equal tiles of one class: the least distance between two of them would be 0."""
    seen: dict[bytes, object] = {}
    for tile, name, file in zip(tiles, classes, files, strict=True):
        content = f"{name} {tile.shape}".encode() + tile.values.tobytes() + tile.support.tobytes()
        if content in seen:
            raise InputError(f"{file}: its tile equals that of {seen[content]}, so that epsilon cannot be found; leave one out")
        seen[content] = file
