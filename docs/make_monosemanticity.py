"""Write the tables of docs/probes.md on constructed beside trained networks from the results of suite ``monosemanticity``.

``python docs/make_monosemanticity.py`` takes the results from the store (the variable ``TMI_STORE``, or the folder
``tmi-store``), and computes those that are not there. The picture is drawn by ``docs/make_figures.py monosemanticity``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blocks import write_block

import tmi
from tmi_paper.comparison import Row, compare, learnt
from tmi_paper.comparison_text import ARROWS, Found, cell, names_of, sentences, verdicts_of
from tmi_paper.monosemanticity import TASKS

PAGE = Path(__file__).with_name("probes.md")


def main() -> None:
    """Compute what is missing, and write the blocks of the page."""
    said, shown = blocks(tmi.run("monosemanticity", workers=2))
    write_block(PAGE, "monosemanticity: sentences", said)
    write_block(PAGE, "monosemanticity: table", shown)


def blocks(results: tmi.Results) -> tuple[str, str]:
    """Return the sentences of each task, a line a trained network, and the table of the first task, from the same verdicts."""
    said, shown = [], ""
    for task in TASKS:
        dataset, k, title = task
        rows = compare(results, dataset, k)
        if rows:
            found = verdicts_of(rows)
            said += [f"**{title}.**", "", *(f"- {line}" for line in sentences(rows, learnt(results, dataset, k), found)), ""]
            if task == TASKS[0]:
                shown = "\n".join(measures(rows, found))
    return "\n".join(said), shown


def measures(rows: list[Row], found: Found) -> Iterator[str]:
    """Return a row a measure that has a better direction, a column a network."""
    names = names_of(rows)
    yield f"| measure | better | {' | '.join(names)} |"
    yield "|---" * (2 + len(names)) + "|"
    for row in rows:
        if row.better:
            cells = [cell(row, name, found) or "–" for name in names]
            yield f"| {row.measure.text.replace('|', chr(92) + '|')} | {ARROWS[row.better]} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
