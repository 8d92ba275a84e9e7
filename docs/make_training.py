"""Write the tables of docs/training.md and draw its figures from the results of suites ``dynamics`` and ``pressure``.

``python docs/make_training.py`` takes the results from the store (the variable ``TMI_STORE``, or the folder ``tmi-store``), and
computes those that are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from blocks import save, write_block

import tmi
from tmi.runtime.plotting import figure_style
from tmi_paper import dynamics, pressure
from tmi_paper.claims.claim import estimated
from tmi_paper.pressure import KINDS, LAYER, TASKS, Effect
from tmi_paper.unit_measures import ACCURACY, ACTIVE, DEAD, Measure, by_seed

if TYPE_CHECKING:
    pass

PAGE = Path(__file__).with_name("training.md")
SHOWN = {
    "F1, tiles": KINDS["tiles"][0],
    "MCC, tiles": KINDS["tiles"][1],
    "F1, tiles at places": KINDS["tiles at places"][0],
    "MCC, tiles at places": KINDS["tiles at places"][1],
    "dead units": DEAD,
    "units active": ACTIVE,
    "accuracy": ACCURACY,
}
"""The measures in the tables of pressures, by heading."""


def main() -> None:
    """Compute what is missing, draw the figures, and write the blocks of the page."""
    watched, pressed = tmi.run("dynamics", workers=2), tmi.run("pressure", workers=2)
    write_block(PAGE, "training: dynamics", "\n".join(along(watched)))
    for dataset, (_, section) in TASKS.items():
        write_block(PAGE, f"training: {section}", "\n".join(under_pressure(pressed, dataset)))
    with figure_style():
        save("dynamics", dynamics.along_training(watched))
        save("dynamics-units", dynamics.dead_and_settled(watched))
        save("pressure", pressure.scatter({dataset: pressure.effects(pressed, dataset) for dataset in TASKS}))


def along(results: tmi.Results) -> Iterator[str]:
    """Return a row a network with the sentences of the report."""
    yield "| network | do units die? | do they become more monosemantic? |"
    yield "|---|---|---|"
    for layer in dynamics.LAYERS:
        yield f"| {layer.text} | {' | '.join(dynamics.sentences(results, layer))} |"


def under_pressure(results: tmi.Results, dataset: str) -> Iterator[str]:
    """Return the sentences of the report, and a table: the values of plain training, then a row of changes a pressure."""
    rows = pressure.effects(results, dataset)
    yield from (f"- {sentence}" for sentence in pressure.sentences(rows, TASKS[dataset][1]))
    yield ""
    yield f"| pressure | {' | '.join(KINDS)} | {' | '.join(SHOWN)} |"
    yield "|---" * (1 + len(KINDS) + len(SHOWN)) + "|"
    plain = pressure.by_pressure(results, dataset).get("plain", [])
    values = [level(by_seed(plain, measure, LAYER)) for measure in SHOWN.values()]
    yield "| " + " | ".join(["plain: the values", *["–"] * len(KINDS), *values]) + " |"
    for row in rows:
        verdicts = [row.verdict(kind) for kind in KINDS]
        yield "| " + " | ".join([row.text, *verdicts, *(cell(row, measure) for measure in SHOWN.values())]) + " |"


def level(values: dict[int, float]) -> str:
    """Write the mean over the seeds and its 95 % interval."""
    if not (found := estimated(values)):
        return "–"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def cell(row: Effect, measure: Measure) -> str:
    """Write a change and its 95 % interval, bold where it is shown after the correction."""
    found = row.changes.get(measure)
    if found is None:
        return "–"
    same = found.low == found.high
    text = f"{found.value:+.3f} in every seed" if same else f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    return f"**{text}**" if measure in row.shown else text


if __name__ == "__main__":
    main()
