"""Write the tables of docs/between.md and draw its figures from the results of suite ``dial``.

``python docs/make_between.py`` takes the results from the store (the variable ``TMI_STORE``, or the folder ``tmi-store``), and
computes those that are not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from blocks import save, write_block

import tmi
from tmi.runtime.plotting import figure_style
from tmi_paper.comparison import spread
from tmi_paper.comparison_text import ARROWS
from tmi_paper.dial import Curve, curves, readings, sentences
from tmi_paper.dial_directions import SETTINGS, answer, examples, found_along, frame, sentence
from tmi_paper.dial_report import DATASET, ORDER, agreement, along_the_dial, readings_figure
from tmi_probes.figures.directions import METHODS, atoms_and_directions, recovery_along, sparsity_frontier

if TYPE_CHECKING:
    pass

PAGE = Path(__file__).with_name("between.md")
FIGURES = PAGE.parent / "figures"


def main() -> None:
    """Compute what is missing, draw the figures, and write the blocks of the page."""
    results = tmi.run("dial", workers=2)
    found, less_chance = (curves(results, DATASET, above_chance=above) for above in (False, True))
    write("measures", [*counts(found), "", *measures(found, less_chance)])
    write("trained", [agreement(less_chance), "", *trained(less_chance)])
    write("answer", [answer(results, DATASET)])
    write("directions", directions(results))
    with figure_style():
        save("dial-measures", along_the_dial(found))
        save("dial-readings", readings_figure(less_chance))
        for probe in SETTINGS:
            save(f"dial-{probe}", recovery_along(frame(found_along(results, DATASET, probe))))
        few, middle = examples(results, DATASET)
        save("dial-frontier", sparsity_frontier(few))
        save("dial-cosines", atoms_and_directions(few[middle]))


def counts(found: list[Curve]) -> list[str]:
    """Name the measures by verdict; those that do not change in one line."""
    lines = []
    for verdict in ORDER:
        names = [curve.measure.text for curve in found if curve.verdict == verdict]
        if names:
            lines += ["", f"**{verdict.capitalize()}** ({len(names)} of {len(found)}): {'; '.join(names)}."]
    return lines[1:]


def measures(found: list[Curve], less_chance: list[Curve]) -> Iterable[str]:
    """Return a row a measure that changes along the dial."""
    yield "| measure | better | verdict | less chance | first end | other end | trained | what that means |"
    yield "|---|---|---|---|---|---|---|---|"
    for curve in sorted(found, key=lambda one: ORDER.index(one.verdict)):
        if curve.verdict == "constant":
            continue
        ends = [spread(list(curve.values[x].values())) for x in (curve.truth[0], curve.truth[-1])]
        own = spread(list(curve.trained.values())) if curve.trained else "–"
        corrected = next(one for one in less_chance if one.measure == curve.measure)
        said = " ".join(sentences(curve, corrected))
        row = [curve.measure.text, ARROWS[curve.better], curve.verdict, corrected.verdict, *ends, own, said]
        yield "| " + " | ".join(row) + " |"


def trained(found: list[Curve]) -> Iterable[str]:
    """Return a row a measure that follows: where it puts the trained network."""
    yield "| measure | tiles a neuron with the same value | seeds beyond the dial |"
    yield "|---|---|---|"
    for text, values in readings(found).items():
        inside = [value for value in values if np.isfinite(value)]
        yield f"| {text} | {spread(inside) if inside else '–'} | {len(values) - len(inside)} of {len(values)} |"


def directions(results: tmi.Results) -> Iterable[str]:
    """Return for each way of making samples a table of the shares recovered, and a sentence a method."""
    for probe, heading in SETTINGS.items():
        found = found_along(results, DATASET, probe)
        places = list(found[0].values)
        yield f"**{heading.capitalize()}.** Share of the directions recovered, by tiles a neuron, and by random directions."
        yield ""
        yield "| method | " + " | ".join(f"{x:.3g}" for x in places) + f" | random, at {places[-1]:.3g} |"
        yield "|---|" + "---|" * (len(places) + 1)
        for one in found:
            shares = [spread(list(values.values())) for values in one.values.values()]
            by_chance = np.mean(list(one.chance[places[-1]].values()))
            yield "| " + " | ".join([METHODS[one.method], *shares, f"{by_chance:.2g}"]) + " |"
        yield ""
        yield from (f"- {sentence(one)}" for one in found if one.method != "random")
        yield ""


def write(name: str, lines: Iterable[str]) -> None:
    """Replace a block of the page."""
    write_block(PAGE, f"dial: {name}", "\n".join(lines))


if __name__ == "__main__":
    main()
