"""Why cells have no numbers: what does not apply, was refused or failed, grouped by the reason, with counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tmi.runtime.formatting import format_count

from .common import KINDS

if TYPE_CHECKING:
    from tmi.runs.results import Entry, Results

MOST = 10
"""Reasons that are printed; of others only how many there are."""

NOTES = ("refused", "not scored")
"""How a note begins that says why a result has no scores: as of an attribution method that is not sound for a network."""


@dataclass
class Reason:
    """The cells of one probe that have no numbers for one reason.

    Attributes
    ----------
    probe : str
    what : str
        "failed", "not applicable", "refused" or "not scored".
    text : str
    entries : list of Entry
    """

    probe: str
    what: str
    text: str
    entries: list[Entry] = field(default_factory=list)


def reasons(results: Iterable[Entry]) -> list[Reason]:
    """Group the cells without numbers by probe and reason, failures first."""
    found: dict[tuple[str, str, str], Reason] = {}
    for entry in results:
        for what, text in _reasons(entry):
            text = " ".join(text.split())
            found.setdefault((entry.probe, what, text), Reason(entry.probe, what, text)).entries.append(entry)
    return sorted(found.values(), key=lambda reason: reason.what != "failed")


def _reasons(entry: Entry) -> Iterator[tuple[str, str]]:
    if entry.status in ("failed", "not applicable"):
        yield entry.status, entry.message
    elif entry.status == "ok":
        for what in NOTES:
            notes = [note.removeprefix(what).lstrip(":, ").removeprefix("for ") for note in entry.notes if note.startswith(what)]
            if notes:
                yield what, "; ".join(notes)


def lines(results: Results, *, most: int | None = MOST) -> list[str]:
    """Write the reasons, one line each: ``"bench on trained: 3 of 5 methods refused (a, b, c): it needs maps"``."""
    listed = reasons(results)
    shown = listed if most is None else listed[:most]
    written = [_line(reason, results) for reason in shown]
    hidden = len(listed) - len(shown)
    return [*written, *([f"… and {format_count(hidden, 'reason')} more; --verbose prints all"] if hidden else [])]


def _line(reason: Reason, results: Results) -> str:
    networks = list(dict.fromkeys(entry.network for entry in reason.entries))
    same = [entry for entry in results if entry.probe == reason.probe and entry.network in networks]
    noun, named = "cell", ""
    owned = [column for column, kind in results.columns.items() if kind == "probe"]
    if len(owned) == 1:
        values, known = (list(dict.fromkeys(str(e.swept.get(owned[0])) for e in part)) for part in (reason.entries, same))
        is_kind = owned[0] in KINDS  # as method, which needs no name beside its values
        if is_kind and (len(values), len(known)) == (len(reason.entries), len(same)):  # a cell each
            noun = owned[0]
        if len(known) > 1:
            named = f" ({'' if is_kind else f'{owned[0]} '}{_listed(values)})"
    counted = f"{len(reason.entries)} of {format_count(len(same), noun)}"
    return f"{reason.probe} on {_listed(networks)}: {counted} {reason.what}{named}: {reason.text}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
