"""The comparison of constructed and trained networks in words: a table and sentences, both from the same verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from tmi.report import table

from .comparison import Row, Verdict, Verdicts, spread, verdicts, verdicts_on_training

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
SIGNS = {"better": "▲ ", "worse": "▼ ", "not shown": "≈ "}
REFERENCE = "constructed: Theorem 1"
ABOUT = (
    "Mean ± standard deviation (n − 1) over the seeds, with their number n. Of trained networks only runs that learnt the task "
    "count: their accuracy is above chance by more than half of what is possible. ↑ higher is better, ↓ lower is better. "
    "Criterion of ▲ better and ▼ worse than Theorem 1: the 95 % interval of the difference, paired by seed, excludes 0 when "
    "corrected by Holm's method for all measures and networks of the table; ≈ not shown to differ. The sentences count the same "
    "verdicts; those on training are corrected together in the same way. Where both have a value by chance, which stands beside "
    "theirs, the difference is of values less chance: so a lower value may be better. Single neurons are those of layer hidden, "
    "or in a network without one of layer conv. A dash: no value there."
)


@dataclass(frozen=True)
class Found:
    """The verdicts on one task, which the table and the sentences share.

    Attributes
    ----------
    beside, by_training : dict of (Row, str) to (str, Estimate)
        On each network beside Theorem 1's, and beside itself before training: `verdicts` and `verdicts_on_training`.
    """

    beside: Verdicts
    by_training: Verdicts


def verdicts_of(rows: list[Row]) -> Found:
    """Return the verdicts on the rows of a task; each kind is corrected for all of its measures and networks."""
    return Found(verdicts(rows, REFERENCE), verdicts_on_training(rows))


def names_of(rows: list[Row]) -> list[str]:
    """Return the names of the networks in the order of the suite."""
    return list(dict.fromkeys(name for row in rows for name in row.values))


def comparison_table(rows: list[Row], found: Found) -> str:
    """Return the comparison as an HTML table: a row a measure, a column a network, each cell with its number of seeds."""
    names = names_of(rows)
    body = [
        (row.measure.topic, row.measure.text, ARROWS[row.better], *(cell(row, name, found) for name in names)) for row in rows
    ]
    return table(("", "measure", "better", *names), body)


def cell(row: Row, name: str, found: Found) -> str | None:
    """Write a network's mean, standard deviation, mean chance and number of seeds, with its verdict; None without a value."""
    if name not in row.values:
        return None
    values = [*row.values[name].values()]
    verdict = found.beside.get((row, name))
    chance = f", chance {mean([*row.chance[name].values()]):.3g}" if name in row.chance else ""
    return f"{SIGNS[verdict[0]] if verdict else ''}{spread(values)}{chance} (n = {len(values)})"


def sentences(rows: list[Row], runs: Mapping[str, Mapping[int, bool]], found: Found) -> list[str]:
    """Say for each trained network what the measures show beside Theorem 1, and what training changed; all follow by rule.

    Parameters
    ----------
    rows : list of Row
    runs : mapping of str to (mapping of int to bool)
        By network and seed, whether the run learnt its task: `tmi_paper.comparison.learnt`.
    found : Found
        Of the rows.
    """
    origins = {name: origin for row in rows for name, origin in row.origins.items()}
    trained = [name for name in names_of(rows) if origins[name] != "constructed"]
    trained += [
        name for name, known in runs.items() if name not in origins and not any(known.values())
    ]  # none of their runs learnt, so that they are in no row
    said = []
    for name in trained:
        known = runs.get(name, {})
        dead = sorted(seed for seed, ok in known.items() if not ok)
        without = f"; seed{'s' if len(dead) > 1 else ''} {', '.join(map(str, dead))} did not, and count in no row" if dead else ""
        parts = [
            f"{sum(known.values())} of {len(known)} runs learnt the task{without}",
            *_counted("beside Theorem 1", found.beside, name),
            *_counted("beside the same network before training", found.by_training, name),
        ]
        raw = sum(network == name and name in row.chance for row, network in found.by_training)
        if raw:
            has, whose = ("has", "its") if raw == 1 else ("have", "their")
            parts.append(
                f"{raw} of the latter {has} a chance, which before training is not known: {whose} difference is of raw values"
            )
        said.append(f"{name}: {'; '.join(parts)}.")
    return said


def _counted(heading: str, found: Verdicts, name: str) -> list[str]:
    """Count and name the verdicts on a network; nothing where there are none."""
    of_name = {row.measure.text: verdict for (row, network), (verdict, _) in found.items() if network == name}
    if not of_name:
        return []
    kinds: tuple[Verdict, ...] = ("better", "worse")
    listed = [f"{sum(v == kind for v in of_name.values())} {kind}{_named(of_name, kind)}" for kind in kinds]
    silent = sum(verdict == "not shown" for verdict in of_name.values())
    return [f"{heading}, of {len(of_name)} measures {', '.join(listed)}, and {silent} not shown to differ"]


def _named(of_name: Mapping[str, Verdict], verdict: Verdict) -> str:
    names = [text for text, own in of_name.items() if own == verdict]
    return f" ({'; '.join(names)})" if names else ""
