"""What a plug-in made, or why it failed, and how errors are put into words."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tmi.errors import DataFileError, InputError, TmiError
from tmi.stages import Stage

DOING: dict[Stage, str] = {Stage.DATASET: "making the data set", Stage.NETWORK: "building the network", Stage.PROBE: "the probe"}


class Product(NamedTuple):
    """What a plug-in returned, the seconds that it took, the warnings that it gave, and whether the store can give it again.

    ``unkept`` says why neither it nor what depends on it may be kept; see `tmi.engines.unkept`. ``threads`` is the number with
    which a network was trained whose training the store gave; None where it was made in this process.
    """

    value: Any
    seconds: float
    warnings: list[str]
    is_kept: bool = False
    unkept: dict[str, str] = {}  # noqa: RUF012  # never changed in place
    threads: int | None = None


class WorkerEnded(TmiError):
    """A job ended its worker process in every attempt: out of memory, or a crash."""


class Failed(Exception):
    """A plug-in failed; the failure of a data set or network is the failure of every cell that needs it."""

    def __init__(self, stage: Stage, error: BaseException, message: str = "", ended: Sequence[int] = ()) -> None:
        super().__init__(message or message_of(error))
        self.stage, self.error, self.ended = stage, error, list(ended)
        self.mistake = stage != Stage.PROBE and isinstance(error, InputError | DataFileError)
        self.traceback = text_block("".join(traceback.format_exception(error)))


def too_long(seconds: float | None, stage: Stage) -> str:
    """Return the message for a time limit that was reached."""
    return f"{DOING[stage]} took longer than the limit of {seconds:g} s"


def message_of(error: BaseException) -> str:
    """Return an exception's message in one line, with its type and place unless it is one of tmi's own."""
    text = text_of(error)
    if isinstance(error, TmiError) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}".removesuffix(": ") + place


def text_of(error: object) -> str:
    """Return an exception's message in one line."""
    try:
        text = str(error)
    except Exception:  # __str__ of a plug-in's exception may fail
        text = "without a message"
    return " ".join(text_block(text).split())


def text_block(text: str) -> str:
    """Return text that any file can hold."""
    return text.encode(errors="backslashreplace").decode()  # a file's name may not be UTF-8
