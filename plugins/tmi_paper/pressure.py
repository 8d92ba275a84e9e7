"""The report of suite ``pressure``: what is said to make units monosemantic, beside plain training of the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tmi.report import Section, bullets, figure, paragraph, table
from tmi.runtime.plotting import PALETTE, figure_style

from .unit_measures import ACCURACY, DEAD, MONOSEMANTIC, Change, UnitMeasure, by_seed, change

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi
    from tmi.runs.results import Entry

LAYER = "conv"
TASKS = {"fashion": ("", "section 6.2"), "squares": ("squares-", "section 6.1")}
"""Data sets, with the prefix of their networks' labels, and the section whose network is trained."""
KINDS = {"tiles": MONOSEMANTIC[:2], "tiles at places": MONOSEMANTIC[2:4]}
"""The measures of the verdicts: they compare units with the exact features, one to one and each by itself.

A neuron of Theorem 1 answers to a tile at a place; one that answers to a tile wherever it is has the other kind of feature.
"""

Verdict = Literal["more", "less", "mixed", "not shown"]
"""Whether a pressure makes units more monosemantic; see `Effect.verdict`."""


@dataclass(frozen=True)
class Effect:
    """What a pressure changes, paired by seed with plain training.

    Attributes
    ----------
    text : str
        The pressure, with its strength.
    accuracy, dead : Change or None
        Of the test accuracy, and of the share of dead units.
    changes : dict of UnitMeasure to Change
        Of the measures of monosemanticity that have a value.
    """

    text: str
    accuracy: Change | None
    dead: Change | None
    changes: dict[UnitMeasure, Change]

    def toward(self, measure: UnitMeasure) -> int:
        """Return 1 where a measure moves toward monosemantic units, −1 where it moves away; 0: the interval contains 0."""
        return self.changes[measure].direction * measure.sign if measure in self.changes else 0

    def verdict(self, kind: str) -> Verdict:
        """Whether units become more monosemantic in a kind of feature, by F1 and MCC above chance.

        "more"
            At least one rises, the 95 % interval of the change paired by seed being above 0, and none falls.
        "less"
            At least one falls, and none rises.
        "mixed"
            One rises and the other falls.
        "not shown"
            Both intervals contain 0.
        """
        signs = {self.toward(measure) for measure in KINDS[kind]} - {0}
        return "mixed" if len(signs) == 2 else "more" if 1 in signs else "less" if signs else "not shown"

    @property
    def cost(self) -> str:
        """The cost in accuracy in words: the interval of the paired change excludes 0, or it does not."""
        if self.accuracy is None:
            return "unknown"
        return {1: "accuracy rises", 0: "none shown", -1: "accuracy falls"}[self.accuracy.direction]


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
        "Each network differs from the plain one of the same seed in one setting. Criterion: a measure changes where the 95 % "
        "interval of the change paired by seed (Student's t) excludes 0; units are more monosemantic in a kind of feature, tiles "
        "or tiles at places, where F1 or MCC above chance rises and the other does not fall. A neuron of Theorem 1 answers "
        "to a tile at a place. No correction is made for the number of comparisons: one in twenty intervals excludes 0 by chance."
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
    prefix = TASKS[dataset][0]
    groups: dict[str, list[Entry]] = {}
    for entry in results.select(dataset=dataset):
        if entry.metrics:
            groups.setdefault(pressure_of(entry, prefix), []).append(entry)
    plain = groups.pop("plain", [])

    def changed(entries: list[Entry], measure: UnitMeasure) -> Change | None:
        return change(by_seed(plain, measure, LAYER), by_seed(entries, measure, LAYER))

    rows = []
    for text, entries in groups.items():
        found = {measure: changed(entries, measure) for measure in MONOSEMANTIC}
        known = {measure: value for measure, value in found.items() if value is not None}
        if known:
            rows.append(Effect(text, changed(entries, ACCURACY), changed(entries, DEAD), known))
    return rows


def pressure_of(entry: Entry, prefix: str) -> str:
    """Name the pressure on an entry's network: its label without the prefix, and the strength where it is swept."""
    name = entry.network.removeprefix(prefix).replace("-", " ").replace("l1", "L1")
    strengths = [value for setting, value in entry.swept.items() if value is not None]
    return " ".join([name, *(f"{value:g}" for value in strengths)])


def sentences(rows: list[Effect], where: str) -> tuple[str, str]:
    """Say in two sentences which pressures make units more monosemantic, and what they cost; both follow from the verdicts."""
    parts = []
    for kind in KINDS:
        by_verdict = {
            verdict: [row.text for row in rows if row.verdict(kind) == verdict] for verdict in ("more", "less", "mixed")
        }
        says = [f"{verdict} by {_named(names)}" for verdict, names in by_verdict.items() if names]
        parts.append(f"in {kind}: {', '.join(says) if says else 'no change is shown'}")
    first = f"{where}: of {len(rows)} pressures, units are made monosemantic {'; '.join(parts)}."
    costs = [f"{row.text} {row.accuracy}" for row in rows if row.accuracy is not None and row.accuracy.direction < 0]
    gains = [f"{row.text} {row.accuracy}" for row in rows if row.accuracy is not None and row.accuracy.direction > 0]
    return first, f"{where}: accuracy falls under {_named(costs)}, and rises under {_named(gains)}."


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
                if row.accuracy is None or measure not in row.changes:
                    continue
                value, place = row.changes[measure], kinds.index(_kind(row))
                strengths = [other.text for other in rows if _kind(other) == _kind(row)]
                axis.errorbar(
                    row.accuracy.mean,
                    value.mean,
                    xerr=[[row.accuracy.mean - row.accuracy.low], [row.accuracy.high - row.accuracy.mean]],
                    yerr=[[value.mean - value.low], [value.high - value.mean]],
                    marker=marks[place % len(marks)],
                    color=PALETTE[place % len(PALETTE)],
                    markersize=3.5 + 1.7 * strengths.index(row.text),
                    markerfacecolor="none" if value.direction == 0 else None,
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
        [row.text, *(row.verdict(kind) for kind in KINDS), row.cost, *(str(v) if v else None for v in (row.accuracy, row.dead))]
        for row in rows
    ]
    head = [f"monosemantic in {kind}" for kind in KINDS]
    return table(["pressure", *head, "cost", "change of accuracy", "change of dead units"], body)


def changes_table(rows: list[Effect]) -> str:
    """Return an HTML table of every measure's change, a row a pressure; ● marks an interval that excludes 0."""
    body = [
        [row.text, *(f"{'● ' * bool(row.toward(m))}{row.changes[m]}" if m in row.changes else None for m in MONOSEMANTIC)]
        for row in rows
    ]
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    return table(["pressure", *(m.text + arrows[m.sign] for m in MONOSEMANTIC)], body)
