"""What programs write for the pages: figures, and parts from a mark such as ``<!-- dial: measures -->`` to ``<!-- end -->``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = Path(__file__).with_name("figures")


def write_block(page: Path, mark: str, text: str) -> None:
    """Replace the part of a page after a mark.

    Parameters
    ----------
    page : Path
    mark : str
        The text of the comment before it.
    text : str
        In Markdown.

    Raises
    ------
    ValueError
        If the page does not have the mark just once, with an end.
    """
    block = re.compile(rf"(<!-- {re.escape(mark)} -->\n).*?(<!-- end -->)", re.DOTALL)
    replaced, count = block.subn(lambda match: f"{match[1]}\n{text.strip()}\n\n{match[2]}", page.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{page}: {count} parts marked {mark!r}, not one")
    page.write_text(replaced, encoding="utf-8")


def save(name: str, figure: Figure, dpi: int = 110) -> None:
    """Write a figure as ``figures/NAME.png`` and close it; without a date, so that the same figure is the same file."""
    import matplotlib.pyplot as plt

    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
