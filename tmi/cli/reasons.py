"""Why cells have no numbers: what does not apply, was refused or failed, grouped by the reason, with counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tmi.runtime.formatting import format_count

if TYPE_CHECKING:
    from tmi.runs.results import Entry, Results

MOST = 10
"""Reasons that are printed; of others only how many there are."""

REFUSED = "refused"
"""Metric of a probe that was given something it cannot soundly apply: 1, with the reason in a note that begins so."""


@dataclass
class Reason:
    """The cells of one probe that have no numbers for one reason.

    Attributes
    ----------
    probe : str
    what : str
        "failed", "not applicable", "refused" or "without METRIC".
    text : str
    entries : list of Entry
    """

    probe: str
    what: str
    text: str
    entries: list[Entry] = field(default_factory=list)


def reasons(results: Iterable[Entry], main: Mapping[str, Sequence[str]] | None = None) -> list[Reason]:
    """Group the cells without numbers by probe and reason, failures first.

    Parameters
    ----------
    results : Results or iterable of Entry
    main : mapping of str to sequence of str, optional
        The main metrics of each probe. A result that has none of them is one without a number: its notes, as far as results with
        a number do not have them too, say why.
    """
    found: dict[tuple[str, str, str], Reason] = {}
    entries = list(results)
    usual = {(entry.probe, note) for entry in entries for note in entry.notes if _has_number(entry, main)}
    for entry in entries:
        what: str = entry.status
        if what in ("failed", "not applicable"):
            text = entry.message
        elif what == "ok" and not _has_number(entry, main):
            notes = [note for note in entry.notes if (entry.probe, note) not in usual]
            what = REFUSED if entry.metrics.get(REFUSED) == 1 else f"without {_shared((main or {}).get(entry.probe, ()))}"
            text = "; ".join(note.removeprefix(f"{REFUSED}: ") for note in notes) or "no reason given"
        else:
            continue
        text = " ".join(text.split())
        found.setdefault((entry.probe, what, text), Reason(entry.probe, what, text)).entries.append(entry)
    return sorted(found.values(), key=lambda reason: reason.what != "failed")


def _has_number(entry: Entry, main: Mapping[str, Sequence[str]] | None) -> bool:
    wanted = (main or {}).get(entry.probe)
    has = not wanted or any(name in entry.metrics for name in wanted)
    return entry.status == "ok" and entry.metrics.get(REFUSED) != 1 and has


def _shared(names: Sequence[str]) -> str:
    """Return the name of metrics that differ in their last parts alone."""
    return names[0] if len(names) == 1 else names[0].partition(".")[0] if names else "a metric"


def lines(results: Results, main: Mapping[str, Sequence[str]] | None = None, *, most: int | None = MOST) -> list[str]:
    """Write the reasons, one line each: ``"bench on trained: 3 of 5 methods refused: it needs a layer of maps (a, b, c)"``."""
    listed = reasons(results, main)
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
        column = owned[0]
        values = [list(dict.fromkeys(str(entry.swept.get(column)) for entry in part)) for part in (reason.entries, same)]
        if (len(values[0]), len(values[1])) == (len(reason.entries), len(same)):  # a cell each
            noun = column.rpartition(".")[2]
        if len(values[1]) > 1:
            named = f" ({_listed(values[0])})"
    counted = f"{len(reason.entries)} of {format_count(len(same), noun)}"
    return f"{reason.probe} on {_listed(networks)}: {counted} {reason.what}: {reason.text}{named}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
