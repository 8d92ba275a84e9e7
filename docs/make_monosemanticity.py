"""Write the tables of docs/probes.md on constructed beside trained networks from the results of suite ``monosemanticity``.

``python docs/make_monosemanticity.py`` takes the results from the store (the variable ``TMI_STORE``, or the folder
``tmi-store``), and computes those that are not there. The picture is drawn by ``docs/make_figures.py monosemanticity``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blocks import write_block

import tmi
from tmi_paper.comparison import Row, compare, learnt, verdicts
from tmi_paper.monosemanticity import ARROWS, REFERENCE, TASKS, cell, names_of, sentences

PAGE = Path(__file__).with_name("probes.md")


def main() -> None:
    """Compute what is missing, and write the blocks of the page."""
    results = tmi.run("monosemanticity", workers=2)
    write_block(PAGE, "monosemanticity: sentences", "\n".join(said(results)))
    write_block(PAGE, "monosemanticity: table", "\n".join(measures(compare(results, *TASKS[0][:2]))))


def said(results: tmi.Results) -> Iterator[str]:
    """Return for each task the sentences of the report, a line a trained network."""
    for dataset, k, title in TASKS:
        rows = compare(results, dataset, k)
        if rows:
            yield from (f"**{title}.**", "", *(f"- {line}" for line in sentences(rows, learnt(results, dataset, k))), "")


def measures(rows: list[Row]) -> Iterator[str]:
    """Return a row a measure that has a better direction, a column a network."""
    names = names_of(rows)
    found = verdicts(rows, REFERENCE, names)
    yield f"| measure | better | {' | '.join(names)} |"
    yield "|---" * (2 + len(names)) + "|"
    for row in rows:
        if row.better:
            cells = [cell(row, name, found[row, name][0] if (row, name) in found else None) or "–" for name in names]
            yield f"| {row.measure.text.replace('|', chr(92) + '|')} | {ARROWS[row.better]} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
