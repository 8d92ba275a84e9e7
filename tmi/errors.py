"""Errors: each message says what is wrong, where, and the nearest right name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class TmiError(Exception):
    """An error the user can fix: one clear sentence, no traceback at the command line."""


class InputError(TmiError, ValueError):
    """An image, a tile, a task or a parameter that the mathematics does not allow."""


class UnknownNameError(TmiError, LookupError):
    """A name that is not registered or not there; the message offers the nearest one that is."""


class PluginError(TmiError):
    """A plug-in that cannot be imported, registered or called."""


class DataFileError(TmiError):
    """A data file that is missing, truncated, of another format, or with a wrong checksum."""


class StoreError(TmiError):
    """A store that cannot be read or written."""


class EngineError(TmiError):
    """Workers that cannot be started or reached, or that are lost."""


class DamagedFileError(StoreError):
    """A stored file that is not what was written: changed, cut short, or not a file of a store."""


class SuiteError(TmiError):
    """Everything that is wrong with a suite, all at once.

    Attributes
    ----------
    problems : list of str
        One line each: file, table, key, what is wrong, and the nearest right name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of ``known``, or all of them if none is near.

    Parameters
    ----------
    name : object
        The unknown name.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        A clause to append to a message, beginning with ``"; "``.
    """
    import difflib

    names = sorted(set(known))
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    if not names:
        return "; there is none"
    return "; known: " + ", ".join(names)
