"""Files that come with a generator, or can be downloaded for it: what ``tmi data`` lists, fetches and verifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class DataFiles:
    """Files that a generator reads, other than those that its settings name.

    Attributes
    ----------
    title : str
        What they are, such as ``"the full set, 60,000 images"``.
    find : callable
        Returns the folder where they are, without reading them; None if they are not on this machine.
    check : callable
        Reads them all and compares their checksums; raises `tmi.DataFileError` where one is wrong.
    fetch : callable, optional
        Downloads and checks them, and returns one line that says how to use them.
    """

    title: str
    find: Callable[[], Path | None]
    check: Callable[[], object]
    fetch: Callable[[], str] | None = None


def data_files(*files: DataFiles) -> Callable[[F], F]:
    """Declare the files of a generator, for ``tmi data``; a decorator.

    Parameters
    ----------
    *files : DataFiles
    """

    def mark(function: F) -> F:
        function.tmi_data_files = files  # type: ignore[attr-defined]
        return function

    return mark


def files_of(function: Callable[..., Any]) -> tuple[DataFiles, ...]:
    """Return what a generator declares; nothing if it is not decorated."""
    files: tuple[DataFiles, ...] = getattr(function, "tmi_data_files", ())
    return files
