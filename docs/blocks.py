"""What programs write for the pages: numbers, figures, and parts from a mark like ``<!-- a: b -->`` to ``<!-- end -->``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tmi import statistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Named = TypeVar("Named")
Written = Callable[[float], str]

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


def digits(value: float) -> str:
    """Write a number with three digits, a large one as a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def over_seeds(
    values: Iterable[float | None] | Mapping[int, float],
    write: Written = "{:.2f}".format,
    *,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Write the mean over the seeds with its 95 % interval.

    Parameters
    ----------
    values : iterable of float or None, or mapping of seed to float
        One value a seed; None for a seed without one.
    write : callable
        ``(float) -> str``.
    low, high : float, optional
        Range of the values, at which the interval is cut off.

    Returns
    -------
    str
        ``"0.31 [0.12, 0.50]"``, or ``"0.31 in every seed"``, see `interval`; a dash for less than two values.
    """
    known = [value for value in (values.values() if isinstance(values, Mapping) else values) if value is not None]
    return "–" if len(known) < 2 else interval(statistics.over_seeds(known, low=low, high=high), write)


def interval(estimate: statistics.Estimate, write: Written = "{:+.2f}".format) -> str:
    """Write an estimate with its interval; where that is no wider than 1e-9 (relative, for values above 1), "in every seed"."""
    if estimate.high - estimate.low <= 1e-9 * max(1.0, abs(estimate.value)):
        return f"{write(estimate.value)} in every seed"
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"


def corrected(differences: Mapping[Named, statistics.Estimate]) -> dict[Named, statistics.Estimate]:
    """Return differences by name, corrected for their number by Holm's method."""
    return dict(zip(differences, statistics.corrected([*differences.values()]), strict=True))


def by_direction(differences: Mapping[str, statistics.Estimate]) -> str:
    """Name the differences that are shown to be above 0, those shown to be below, and the others."""
    words: tuple[statistics.Direction, ...] = ("higher", "lower", "not shown to differ")
    names = {word: [name for name, found in differences.items() if found.direction == word] for word in words}
    return "; ".join(f"{word}: {', '.join(some) or 'none'}" for word, some in names.items())


def save(name: str, figure: Figure, dpi: int = 110) -> None:
    """Write a figure as ``figures/NAME.png`` and close it; without a date, so that the same figure is the same file."""
    import matplotlib.pyplot as plt

    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
