"""What tmi says when something is wrong: what, where, and the nearest right name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class TmiError(Exception):
    """A mistake that its maker can mend: one clear sentence, no traceback at the command line."""


class InputError(TmiError, ValueError):
    """An image, a tile, a task or a parameter that the mathematics does not allow."""


class UnknownNameError(TmiError, LookupError):
    """A name that nothing carries; the message offers the nearest one that something does."""


class PluginError(TmiError):
    """A plug-in that cannot be imported, registered or called."""


class DataFileError(TmiError):
    """A data file that is missing, truncated, of another format, or not the one that its checksum names."""


class StoreError(TmiError):
    """A store that cannot be read or written."""


class EngineError(TmiError):
    """Workers that cannot be started or reached, or that were lost."""


class DamagedFileError(StoreError):
    """A stored file whose bytes are not those that were written."""


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
    """Return a hint that names the nearest of ``known``, or all of them where none is near.

    Parameters
    ----------
    name : object
        What was asked for.
    known : iterable of str
        What there is.

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
