"""Write the table of docs/attribution.md that says which measures of fidelity tell a map from its negation, |a| and noise.

``python docs/make_fidelity.py`` takes some ten minutes on a core. Scores and verdicts are those of
``tests/benchmarks/fidelity.py``, over five seeds of data and training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blocks import write_block
from make_attribution import markdown

if TYPE_CHECKING:
    from tests.benchmarks.fidelity import Row

ROOT = Path(__file__).parents[1]
SEEDS, IMAGES = range(5), 30
SHOWN = {"Theorem 1": ("negation", "noise"), "trained": ("negation", "absolute", "noise")}
"""What the map is compared with; on Theorem 1 it has no negative values, so that it is its own absolute value."""


def table(rows: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Return the lines of the table, a row a measure and baseline: mean scores, and the verdict beside the map's own score.

    Parameters
    ----------
    rows : mapping of str to sequence of Row
        By network, as in `SHOWN`; the same measures for each.
    """
    head = ["measure", "baseline"]
    for name, others in SHOWN.items():
        head += [f"{name}: map", *("absolute value" if other == "absolute" else other for other in others)]
    body = []
    for same in zip(*(rows[name] for name in SHOWN), strict=True):
        cells = [f"`{same[0].measure.replace('_', '-')}`", same[0].baseline]
        for row, others in zip(same, SHOWN.values(), strict=True):
            cells += [f"{row.means['map']:.3f}", *(f"{row.means[other]:.3f} {row.verdicts[other]}" for other in others)]
        body.append([cell.replace("-0.", "−0.").replace("-1.", "−1.") for cell in cells])
    yield from markdown(head, body)


def main() -> None:
    """Score all maps and write the table."""
    sys.path.insert(0, str(ROOT))  # the benchmarks are not installed
    from tests.benchmarks.fidelity import cases_of, rows

    found = {name: rows(cases, IMAGES) for name, cases in cases_of(SEEDS).items()}
    write_block(Path(__file__).with_name("attribution.md"), "attribution: fidelity", "\n".join(table(found)))


if __name__ == "__main__":
    main()
