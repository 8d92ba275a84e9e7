"""Dictionaries on the dial: up to how many tiles a neuron each method finds the directions that are known to be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, figure, folded, paragraph, table
from tmi_probes.figures.directions import GROUPS, METHODS, atoms_and_directions, recovery_along, sparsity_frontier

from .claims.claim import estimated
from .comparison import spread
from .dial import network_of, tiles_a_neuron
from .unit_measures import change, sign

if TYPE_CHECKING:
    import pandas as pd

    import tmi

FOUND = 0.9
"""The share of the directions that a method must recover, with the whole interval over the seeds, to count as finding them."""
SETTINGS = {
    "directions-one": "one tile a sample",
    "directions-several": "one to five tiles a sample",
    "directions-three": "three tiles a sample",
    "directions-noise": "one to five tiles a sample, noise 0.2",
}
"""How samples are made: by the probe's label."""


@dataclass(frozen=True)
class Found:
    """A method along the dial.

    Attributes
    ----------
    method : str
    values, chance : dict of float to (dict of int to float)
        The share of directions recovered, and that of as many random directions, by tiles a neuron and by seed.
    """

    method: str
    values: dict[float, dict[int, float]]
    chance: dict[float, dict[int, float]]

    @property
    def up_to(self) -> float | None:
        """The most tiles a neuron at which, and at all fewer, the interval of the share is at least `FOUND`; None if none."""
        last = None
        for x, values in self.values.items():
            share = estimated(values)
            if share is None or share.low < FOUND:
                break
            last = x
        return last

    @property
    def above_chance(self) -> list[float]:
        """Where on the dial the interval of the share less that of random directions, paired by seed, is above 0."""
        return [x for x, values in self.values.items() if sign(change(self.chance[x], values)) > 0]


def found_along(results: tmi.Results, dataset: str, probe: str) -> list[Found]:
    """Return the share of directions that every method recovers along the dial, methods in the order of `METHODS`.

    Parameters
    ----------
    results : Results
        Of suite ``dial``, or of a part of it.
    dataset : str
    probe : str
        The probe's label.
    """
    truth = tiles_a_neuron(results.select(dataset=dataset))
    chosen = [entry for entry in results.select(dataset=dataset, probe=probe) if network_of(entry) in truth]
    found = []
    for method in METHODS:
        values: dict[float, dict[int, float]] = {x: {} for x in truth.values()}
        chance: dict[float, dict[int, float]] = {x: {} for x in truth.values()}
        for entry in chosen:
            name, x = f"recovered.{method}", truth[network_of(entry)]
            if name in entry.metrics:
                values[x][entry.seed] = entry.metrics[name]
                chance[x][entry.seed] = entry.metrics.get(f"{name}.chance", 0.0)
        values = {x: by_seed for x, by_seed in values.items() if by_seed}
        if values:
            found.append(Found(method, values, chance))
    return found


def sentence(found: Found) -> str:
    """Say up to where a method finds the directions, and what it finds at the end of the dial; it follows from the numbers."""
    last = list(found.values)[-1]
    end = spread(list(found.values[last].values()))
    by_chance = float(np.mean(list(found.chance[last].values())))
    where = "is nowhere shown to find" if found.up_to is None else "finds"
    until = (
        "" if found.up_to is None else " at every place" if found.up_to == last else f" up to {found.up_to:.3g} tiles a neuron"
    )
    better = "more than" if last in found.above_chance else "not shown to be more than"
    return (
        f"{METHODS[found.method]} {where} {FOUND:.0%} of the directions{until}; at {last:.3g} it finds {end}, {better} "
        f"random directions ({by_chance:.2g})."
    )


def answer(results: tmi.Results, dataset: str) -> str:
    """Say which methods find the directions whichever way samples are made, and which find more than random ones in the end."""
    by_setting = [{one.method: one for one in found_along(results, dataset, probe)} for probe in SETTINGS]
    by_setting = [found for found in by_setting if found]
    if not by_setting:
        return ""
    last = list(next(iter(by_setting[0].values())).values)[-1]
    parts = []
    for heading in ("sparse autoencoders", "other dictionaries"):
        up_to, always, never = {}, [], []
        for method in GROUPS[heading]:
            found = [one[method] for one in by_setting if method in one]
            if not found:
                continue
            reached = [one.up_to for one in found]
            better = [last in one.above_chance for one in found]
            up_to[METHODS[method]] = None if None in reached else min(x for x in reached if x is not None)
            always += [METHODS[method]] if all(better) else []
            never += [METHODS[method]] if not any(better) else []
        finds = ", ".join(f"{name} up to {x:.3g}" for name, x in up_to.items() if x is not None) or "none"
        parts.append(
            f"Of the {heading}, these find {FOUND:.0%} of the directions in every way of making samples (tiles a neuron): {finds}"
            f". At {last:.3g} tiles a neuron, more than random directions find in every way: {', '.join(always) or 'none'}; "
            f"in no way: {', '.join(never) or 'none'}."
        )
    return " ".join(parts)


def frame(found: list[Found]) -> pd.DataFrame:
    """Return the table that `tmi_probes.figures.directions.recovery_along` draws: a row a method and place of the dial."""
    import pandas as pd

    rows = []
    for one in found:
        for x, by_seed in one.values.items():
            values = list(by_seed.values())
            mean = float(np.mean(values))
            share = estimated(values)
            low, high = (share.low, share.high) if share else (mean, mean)
            rows.append({"method": one.method, "x": x, "value": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def directions_section(results: tmi.Results, dataset: str, title: str) -> Section | None:
    """Return the section on dictionaries; None where nothing was measured."""
    body = ""
    for probe, heading in SETTINGS.items():
        found = found_along(results, dataset, probe)
        if not found:
            continue
        rows = [
            (METHODS[one.method], *(spread(list(values.values())) for values in one.values.values()), sentence(one))
            for one in found
        ]
        caption = f"{title}, {heading}: share of the known directions with an atom at a cosine above 0.9."
        drawn = figure(recovery_along(frame(found)), f"Directions recovered against tiles a neuron, {heading}", caption)
        heads = ("method", *(f"{x:.3g}" for x in found[0].values), f"what that means ({heading})")
        body += drawn + folded(f"The numbers: {heading}", table(heads, rows))
    if not body:
        return None
    return Section(
        f"{title}: do dictionaries find the directions?",
        paragraph(_about()) + paragraph(answer(results, dataset)) + body + _examples(results, dataset),
    )


def examples(results: tmi.Results, dataset: str) -> tuple[dict[str, tmi.ProbeResult], str]:
    """Return results at both ends of the dial and in its middle: the first seed, one to five tiles a sample.

    Returns
    -------
    results : dict of str to ProbeResult
        By heading; empty where fewer than two networks have one.
    middle : str
        The heading of the middle one.
    """
    chosen = [entry for entry in results.select(dataset=dataset, probe="directions-several") if entry.status == "ok"]
    first = {network_of(entry): entry for entry in reversed(chosen)}
    truth = tiles_a_neuron(results.select(dataset=dataset))
    shown = {f"{x:.3g} tiles a neuron": first[name] for name, x in truth.items() if name in first}
    if len(shown) < 2:
        return {}, ""
    names = list(shown)
    middle = names[len(names) // 2]
    return {name: results.load(shown[name]) for name in dict.fromkeys((names[0], middle, names[-1]))}, middle


def _examples(results: tmi.Results, dataset: str) -> str:
    """Draw active codes against explained variance, and a table of cosines."""
    few, middle = examples(results, dataset)
    if not few:
        return ""
    return figure(
        sparsity_frontier(few),
        "Explained variance against active codes, by method",
        "Each mark is a penalty or number of active codes, mean over the fits; the dashed line is the number of features that a "
        "sample shows on average. One to five tiles a sample, no noise, first seed.",
    ) + figure(
        atoms_and_directions(few[middle]),
        "Cosines of known directions with atoms",
        f"Each row is a known direction, each column an atom of the first fit, at {middle}.",
    )


def _about() -> str:
    return (
        "The layer's directions are known exactly, so that it can be said whether a dictionary finds them. Samples are sums of "
        "one or several tiles' activations, of varying strength, without noise or with Gaussian noise of a fifth of their norm. "
        "Each method is fitted twice for each seed of the data. How the autoencoders are trained was chosen on synthetic data."
    )
