"""Sections of a report and the HTML in them: escaped text, tables, embedded figures, and the page around them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes
    ----------
    title : str
        Its heading; the first section of a report has none and is its summary.
    html : str
        Its body. Text that comes from data must be escaped; `tmi.report.html` does so.
    """

    title: str
    html: str


def paragraph(text: str) -> str:
    """Return escaped text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return escaped lines as a list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return a table of escaped cells.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequences
        Strings, numbers (written with four significant digits) or None (written as a dash).
    caption : str
    """
    rows = [list(row) for row in rows]
    # Columns of numbers are aligned right, with their headings.
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    kinds = [' class="number"' if one else "" for one in right]
    body = "".join("<tr>" + "".join(f"<td{k}>{_text(v)}</td>" for k, v in zip(kinds, row, strict=True)) + "</tr>" for row in rows)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    titles = "".join(f'<th scope="col"{kind}>{escape(title)}</th>' for kind, title in zip(kinds, head, strict=True))
    return f'<div class="wide"><table>{above}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(title: str, html: str) -> str:
    """Return HTML behind a title that opens it."""
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def figure(drawn: Figure, alt: str, caption: str) -> str:
    """Embed a matplotlib figure as a PNG, and close it.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure
    alt : str
        What it shows, for readers who cannot see it.
    caption : str
        What the reader should see in it.
    """
    import matplotlib.pyplot as plt

    data = io.BytesIO()
    drawn.savefig(data, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(drawn)
    encoded = base64.b64encode(data.getvalue()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{encoded}" alt="{escape(alt, quote=True)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def page(*, title: str, description: str, mark: str, sections: Sequence[Section]) -> str:
    """Return the whole page."""
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    # The sections escape what they hold; everything else is escaped here.
    environment = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.get_template("page.html.j2")
    return template.render(title=title, description=description, mark=mark, sections=sections)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if _is_number(value) else escape(str(value))
