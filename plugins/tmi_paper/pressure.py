"""The report of suite ``pressure``: what is said to make units monosemantic, beside plain training of the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tmi.report import Section, bullets, figure, paragraph, table
from tmi.runtime.plotting import PALETTE, figure_style

from .unit_measures import ACCURACY, ACTIVE, DEAD, MONOSEMANTIC, Measure, by_seed, change, shown, sign, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi
    from tmi.runs.results import Entry
    from tmi.statistics import Estimate

LAYER = "conv"
TASKS = {"fashion": ("", "section 6.2"), "squares": ("squares-", "section 6.1")}
"""Data sets, with the prefix of their networks' labels, and the section whose network is trained."""
KINDS = {"tiles": MONOSEMANTIC[:2], "tiles at places": MONOSEMANTIC[2:4]}
"""The measures of the verdicts: they compare units with the exact features, one to one and each by itself.

A neuron of Theorem 1 answers to a tile at a place; one that answers to a tile at every place has the other kind of feature.
"""
FAMILIES = (tuple(measure for kind in KINDS.values() for measure in kind), (ACCURACY,), (ACTIVE,))
"""Measures whose changes under all pressures on one network are corrected for their number together."""

Verdict = Literal["more", "less", "mixed", "not shown"]
"""Whether a pressure makes units more monosemantic; see `Effect.verdict`."""


@dataclass(frozen=True)
class Effect:
    """What a pressure changes, paired by seed with plain training.

    Attributes
    ----------
    text : str
        The pressure, with its strength.
    changes : dict of Measure to Estimate
        Of accuracy, dead units, and the measures of monosemanticity, where they have a value.
    shown : dict of Measure to int
        The direction, 1 or −1, of the changes of `FAMILIES` that are shown.
    """

    text: str
    changes: dict[Measure, Estimate]
    shown: dict[Measure, int]

    def verdict(self, kind: str) -> Verdict:
        """Whether units become more monosemantic in a kind of feature, by F1 and MCC above chance.

        "more"
            At least one is shown to rise, and none to fall.
        "less"
            At least one is shown to fall, and none to rise.
        "mixed"
            One rises and the other falls.
        "not shown"
            No change is shown.
        """
        signs = {self.shown[measure] for measure in KINDS[kind] if measure in self.shown}
        return "mixed" if len(signs) == 2 else "more" if 1 in signs else "less" if signs else "not shown"

    @property
    def cost(self) -> str:
        """The cost in accuracy in words: a change is shown, or it is not."""
        if ACCURACY not in self.changes:
            return "unknown"
        return {1: "accuracy rises", 0: "none shown", -1: "accuracy falls"}[self.shown.get(ACCURACY, 0)]


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``pressure``, or of a part of it.
    """
    found = {dataset: effects(results, dataset) for dataset in TASKS}
    found = {dataset: rows for dataset, rows in found.items() if rows}
    if not found:
        return []
    with figure_style():
        drawn = figure(
            scatter(found),
            "Change of measures against change of accuracy, by pressure",
            "Change against plain training of the same seed: mean over the seeds and 95 % intervals.",
        )
    about = (
        "Each network differs from the plain one of the same seed in one setting. Criterion: a change, paired by seed, is shown "
        "where its p-value by Student's t is below 0.05 when corrected by Holm's method, for all pressures on a network and all "
        "four measures of the verdicts. Units are more monosemantic in a kind of feature, tiles or tiles at places, where F1 or "
        "MCC above chance is shown to rise and the other not to fall. A neuron of Theorem 1 answers to a tile at a place. Drawn "
        "and in brackets are plain 95 % intervals, so that one may exclude 0 where no change is shown. F1 is a mean over the "
        "units that vary: it can rise because units die."
    )
    parts = [
        Section(
            "", paragraph(about) + bullets(line for d, rows in found.items() for line in sentences(rows, TASKS[d][1])) + drawn
        )
    ]
    for dataset, rows in found.items():
        parts.append(Section(f"The network of {TASKS[dataset][1]}", verdicts(rows) + changes_table(rows)))
    return parts


def effects(results: tmi.Results, dataset: str) -> list[Effect]:
    """Return the effect of each pressure on the network of a data set, in the order of the suite.

    Parameters
    ----------
    results : Results
        Of suite ``pressure``, or of a part of it.
    dataset : str
    """
    groups = by_pressure(results, dataset)
    plain = groups.pop("plain", [])
    found: dict[str, dict[Measure, Estimate]] = {}
    for text, entries in groups.items():
        pairs = {m: change(by_seed(plain, m, LAYER), by_seed(entries, m, LAYER)) for m in (ACCURACY, DEAD, *MONOSEMANTIC)}
        found[text] = {measure: value for measure, value in pairs.items() if value is not None}
    directions: dict[tuple[str, Measure], int] = {}
    for family in FAMILIES:
        directions |= shown({(text, m): value for text, changes in found.items() for m, value in changes.items() if m in family})
    return [
        Effect(text, changes, {m: direction for (under, m), direction in directions.items() if under == text})
        for text, changes in found.items()
        if changes.keys() & set(MONOSEMANTIC)
    ]


def by_pressure(results: tmi.Results, dataset: str) -> dict[str, list[Entry]]:
    """Return the entries with a result on a data set by pressure, in the order of the suite; "plain" is one of them."""
    groups: dict[str, list[Entry]] = {}
    for entry in results.select(dataset=dataset):
        if entry.metrics:
            groups.setdefault(pressure_of(entry, TASKS[dataset][0]), []).append(entry)
    return groups


def pressure_of(entry: Entry, prefix: str) -> str:
    """Name the pressure on an entry's network: its label without the prefix, and the strength where it is swept."""
    name = entry.network.removeprefix(prefix).replace("-", " ").replace("l1", "L1")
    strengths = [value for setting, value in entry.swept.items() if value is not None]
    return " ".join([name, *(f"{value:g}" for value in strengths)])


def sentences(rows: list[Effect], where: str) -> list[str]:
    """Say under which pressures units become more monosemantic, at what cost, and what goes with fewer active units.

    All follow from the verdicts. The last is left out where no pressure is shown to leave fewer units active.
    """
    parts = []
    for kind in KINDS:
        under = {
            words: [row.text for row in rows if row.verdict(kind) == verdict]
            for verdict, words in (
                ("more", "more monosemantic"),
                ("less", "less monosemantic"),
                ("mixed", "more so by one measure and less so by the other"),
            )
        }
        become = ", ".join(f"{words} under {_named(names)}" for words, names in under.items() if names)
        parts.append(f"in {kind} {f'units become {become}' if become else 'no change is shown'}")

    def moved(measure: Measure, way: int) -> list[Effect]:
        return [row for row in rows if row.shown.get(measure) == way]

    falls, rises = (_named([f"{row.text} {written(row.changes[ACCURACY])}" for row in moved(ACCURACY, way)]) for way in (-1, 1))
    said = [
        f"{where}, {len(rows)} pressures: {'; '.join(parts)}.",
        f"{where}: accuracy falls under {falls}, and rises under {rises}.",
    ]
    fewer = moved(ACTIVE, -1)
    if fewer:
        of_tiles, of_places = (KINDS[kind][1] for kind in ("tiles", "tiles at places"))
        up, down = (_named([row.text for row in rows if row in fewer]) for rows in (moved(of_places, 1), moved(of_tiles, -1)))
        said.append(
            f"{where}: fewer units are active on an image under {_named([row.text for row in fewer])}; of these, MCC for tiles "
            f"at places rises under {up}, and MCC for tiles falls under {down}."
        )
    return said


def _named(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "none of them"


def scatter(found: dict[str, list[Effect]]) -> Figure:
    """Draw changes of measures against changes of accuracy: a row a data set, a panel a measure, a mark a pressure.

    Parameters
    ----------
    found : dict of str to list of Effect
        By data set.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    measures = (MONOSEMANTIC[1], MONOSEMANTIC[3], MONOSEMANTIC[5], MONOSEMANTIC[7])
    marks = "os^Dv<>ph*XPd8"
    kinds = list(dict.fromkeys(_kind(row) for rows in found.values() for row in rows))
    drawn, axes = plt.subplots(len(found), len(measures), figsize=(9.6, 2.6 * len(found) + 0.9), squeeze=False)
    for line, (dataset, rows) in zip(axes, found.items(), strict=True):
        for axis, measure in zip(line, measures, strict=True):
            axis.axhline(0, color="0.6", linewidth=0.7, zorder=0)
            axis.axvline(0, color="0.6", linewidth=0.7, zorder=0)
            for row in rows:
                if not {ACCURACY, measure} <= row.changes.keys():
                    continue
                value, place, accuracy = row.changes[measure], kinds.index(_kind(row)), row.changes[ACCURACY]
                strengths = [other.text for other in rows if _kind(other) == _kind(row)]
                axis.errorbar(
                    accuracy.value,
                    value.value,
                    xerr=[[accuracy.value - accuracy.low], [accuracy.high - accuracy.value]],
                    yerr=[[value.value - value.low], [value.high - value.value]],
                    marker=marks[place % len(marks)],
                    color=PALETTE[place % len(PALETTE)],
                    markersize=3.5 + 1.7 * strengths.index(row.text),
                    markerfacecolor="none" if not sign(value) else None,
                    linewidth=0.8,
                    linestyle="none",
                )
            axis.set_title(f"{TASKS[dataset][1]}\n{measure.text}{' ↑' if measure.sign > 0 else ' ↓'}", fontsize=8)
            axis.locator_params(nbins=5)
            axis.tick_params(labelsize=7)
            axis.set_xlabel("change of accuracy", fontsize=8)
        line[0].set_ylabel("change of the measure")
    handles = [
        Line2D([], [], marker=marks[i % len(marks)], color=PALETTE[i % len(PALETTE)], linestyle="none", markersize=5, label=kind)
        for i, kind in enumerate(kinds)
    ]
    handles.append(
        Line2D([], [], marker="o", color="0.3", markerfacecolor="none", linestyle="none", markersize=5, label="interval has 0")
    )
    drawn.legend(
        handles=handles, loc="outside upper center", ncols=6, fontsize=8, title="larger mark: stronger", title_fontsize=8
    )
    return drawn


def _kind(row: Effect) -> str:
    """Return a pressure without its strength."""
    return " ".join(word for word in row.text.split() if not word[0].isdigit())


def verdicts(rows: list[Effect]) -> str:
    """Return an HTML table: whether each pressure makes units more monosemantic, and what it costs."""
    body = [
        [row.text, *(row.verdict(kind) for kind in KINDS), row.cost, *(_written(row, m) for m in (ACCURACY, DEAD))]
        for row in rows
    ]
    head = [f"monosemantic in {kind}" for kind in KINDS]
    return table(["pressure", *head, "cost", "change of accuracy", "change of dead units"], body)


def changes_table(rows: list[Effect]) -> str:
    """Return an HTML table of every measure's change, a row a pressure; ● marks an interval that excludes 0, not corrected."""
    body = [[row.text, *(_written(row, measure) for measure in MONOSEMANTIC)] for row in rows]
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    return table(["pressure", *(m.text + arrows[m.sign] for m in MONOSEMANTIC)], body)


def _written(row: Effect, measure: Measure) -> str | None:
    found = row.changes.get(measure)
    return None if found is None else f"{'● ' * abs(sign(found))}{written(found)}"
