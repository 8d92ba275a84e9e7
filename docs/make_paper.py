"""Write docs/paper.md, the table of the paper's statements with what is measured: ``python docs/make_paper.py``.

The results of suite ``paper``, and of suite ``paper-long`` for the shipped sample and, where the environment variable
``TMI_FASHION_MNIST`` names its folder, for the full Fashion-MNIST, come from the store (the variable ``TMI_STORE``, or the folder
``tmi-store``); those that are not there are computed. The figures of the page are drawn by ``docs/make_figures.py paper``.
"""

from __future__ import annotations

import os
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import tmi
from tmi_paper.claims import Claim, claims
from tmi_paper.statements import STATEMENTS

PAGE = Path(__file__).parent / "paper.md"

HEAD = """# The paper, statement by statement

<!-- Written by python docs/make_paper.py -->

"Revisiting the expressiveness of CNNs: a mathematical framework for feature extraction": every definition, lemma, proposition,
theorem, figure, setting and number, and every sentence of sections 6 and 7 that claims something, in the paper's order; where the
project shows it; and what was measured. `make demo` runs the suite `paper` and writes a report with the same claims and all
figures.

- Numbers are the mean ± the standard deviation over seeds (n − 1), with the number of seeds and the range. The seed is the unit
  of inference of a trained network: it decides the tiles, the images, the initial weights and the order of the images.
- A verdict follows from the criterion before it, which can fail. What the paper does not claim, but asks for or leaves open, says
  so.
- {tiles}
"""


TAIL = """## Figure 1

![Two cats and two dogs, cut out, and images that show one of them on a photograph](figures/paper-figure-1.png)

The paper's Figure 1 has the same layout: for each of "cat" and "dog" two non-rectangular tiles of different dimensions on the
left, and on the right four images with one of them above a background. Its pictures are not at hand; these are photographs under
CC0 (`datasets/cutouts/README.md` names the source of each), on crops of the two photographs that come with scikit-learn. Both
theorems have no error on them.

## Figure 2

![4×4 images with a black or a white square](figures/paper-figure-2.png)

## Figure 3

![The tile of each class, and images that show it](figures/paper-figure-3.png)

As in the paper: the tiles in the first row, and images of the class under them. The outline is the support.

## Figure 4

![Logits of three tiles on 100 backgrounds and at 100 places](figures/paper-figure-4.png)

As in the paper: three tiles of different classes, chosen by the seed; in the first row 100 backgrounds at one place, in the
second 100 places on one background; all ten logits of the trained network, the label's coloured. The logits of the constructed
network do not vary: the report of `make demo` draws them too.
"""


def cell(text: str) -> str:
    """Return text that stands in one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def measured(claims_by_source: list[tuple[str, Claim]]) -> str:
    """Write criteria, numbers and verdicts of the claims that measure a statement; claims of one criterion share its line.

    Parameters
    ----------
    claims_by_source : list of (str, Claim)
        With the images that the tiles are; empty for those of suite ``paper``.
    """
    by_criterion: dict[tuple[str, bool], list[str]] = {}
    for source, claim in claims_by_source:
        what = ", ".join(filter(None, (claim.key.partition(", ")[2], source)))
        line = f"{what + ': ' if what else ''}{cell(claim.here)}: **{claim.verdict}**"
        if not claim.of_paper:
            line = f"{cell(claim.paper)} (not a claim of the paper): {line}"
        by_criterion.setdefault((claim.criterion, claim.of_paper), []).append(line)
    return "<br>".join(
        f"*Criterion: {cell(criterion)}.*<br>" + "<br>".join(lines) for (criterion, _), lines in by_criterion.items()
    )


def page(stated: list[Claim], more: dict[str, list[Claim]], tiles: str) -> str:
    """Return the page.

    Parameters
    ----------
    stated : list of Claim
        From suite ``paper``.
    more : dict of str to list of Claim
        From suite ``paper-long``, by the images that the tiles are.
    tiles : str
        A sentence about the tiles of suite ``paper``.
    """
    lines = [HEAD.format(tiles=tiles)]
    part = ""
    for statement in STATEMENTS:
        if statement.part != part:
            part = statement.part
            lines += ["", f"## {part}", "", "| where | the paper | here | measured |", "|---|---|---|---|"]
        found = [
            (source, claim)
            for source, several in {"": stated, **more}.items()
            for claim in several
            if statement.claims and claim.key.startswith(statement.claims)
        ]
        lines.append(f"| {statement.where} | {cell(statement.paper)} | {cell(statement.shown)} | {measured(found) or '–'} |")
    return "\n".join([*lines, "", TAIL])


def long_suite(source: str) -> dict[str, Any]:
    """Return suite ``paper-long`` with tiles from a source of Fashion-MNIST."""
    suite = tomllib.loads(files("tmi_paper").joinpath("paper-long.toml").read_text())
    for dataset in suite["datasets"].values():
        dataset["source"] = source
    return suite


def main() -> None:
    """Write the page."""
    store = os.environ.get("TMI_STORE", "tmi-store")
    full = os.environ.pop("TMI_FASHION_MNIST", None)  # suite paper takes the sample that ships
    results = tmi.run("paper", store=store, workers=2)
    more = {"shipped sample": claims(tmi.run(long_suite("sample"), store=store, workers=2))}
    if full:
        more["full set"] = claims(tmi.run(long_suite(full), store=store, workers=2))
    tiles = "Tiles come from the sample of Fashion-MNIST that ships, unless a number says otherwise."
    PAGE.write_text(page(claims(results), more, tiles))


if __name__ == "__main__":
    main()
