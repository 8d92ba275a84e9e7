"""Errors: each message says what is wrong, where, and the nearest right name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class TmiError(Exception):
    """An error the user can fix: one clear sentence, no traceback at the command line."""


class InputError(TmiError, ValueError):
    """An invalid image, tile, task or parameter."""


class NoTilesError(InputError):
    """The exact truth was asked for where there is none: the images have given labels, and no tiles."""


class MissingPathError(InputError):
    """A setting names a file or folder that is missing or cannot be read."""


class UnknownNameError(TmiError, LookupError):
    """A name that is not registered or does not exist; the message suggests the nearest known name."""


class PluginError(TmiError):
    """A plug-in that cannot be imported, registered or called."""


class DataFileError(TmiError):
    """A data file that is missing, truncated, in another format, or has a wrong checksum."""


class StoreError(TmiError):
    """A store that cannot be read or written."""


class EngineError(TmiError):
    """Workers that cannot be started or reached, or that were lost."""


class DamagedFileError(StoreError):
    """A stored file whose content is not what was written: modified, truncated, or not a file of a store."""


class SuiteError(TmiError):
    """All problems of a suite.

    Attributes
    ----------
    problems : list of str
        One line per problem: file, table, key, what is wrong, and the nearest right name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a hint for a message about an unknown name: the most similar known name, or all of them if none is similar.

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

    Examples
    --------
    >>> did_you_mean("epoch", ["epochs", "filters"])
    '; did you mean "epochs"?'
    >>> did_you_mean("colour", ["epochs", "filters"])
    '; known: epochs, filters'
    """
    import difflib

    names = sorted(set(known))
    similar = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if similar:
        return f'; did you mean "{similar[0]}"?'
    if not names:
        return "; there is none"
    return "; known: " + ", ".join(names)
