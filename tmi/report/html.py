"""Sections of a report and the HTML in them: escaped text, tables, embedded figures, and the page around them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tmi.errors import StoreError
from tmi.runtime.paths import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Writer = TypeVar("Writer", bound=Callable[..., Any])

LONG = 48
"""Characters of a cell; a column with a longer one keeps a width in which it can be read."""
PROSE = 64
"""Characters of a cell; a table with longer ones in two columns is shown row by row on a phone."""


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


def for_probes(*names: str) -> Callable[[Writer], Writer]:
    """Declare that a report writes about these registered probes: its sections are on the page of every suite that uses one.

    Parameters
    ----------
    *names : str
        Registered names of probes; the labels of a suite's tables do not matter. They must stand in the file that the hook names,
        where they are looked up before it is imported.
    """

    def declare(function: Writer) -> Writer:
        function.tmi_probes = names  # type: ignore[attr-defined]
        return function

    return declare


def paragraph(text: str) -> str:
    """Return escaped text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return escaped lines as a list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return a table of escaped cells, which readers can sort by a column, and search.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequences
        Strings, numbers (written with four significant digits) or None (written as a dash). Text that begins with a number, as
        ``"0.93 ± 0.01"``, is sorted by it; dashes stay last.
    caption : str
    """
    rows = [list(row) for row in rows]
    # Columns of numbers are aligned right, with their headings.
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    longest = [max((len(str(row[i])) for row in rows), default=0) for i in range(len(head))]
    kinds = [
        ' class="number"' if one else ' class="long"' if most > LONG else "" for one, most in zip(right, longest, strict=True)
    ]
    prose = sum(most > PROSE for most in longest) > 1
    names = [f' data-head="{escape(title, quote=True)}"' if prose else "" for title in head]
    which = ' class="prose"' if prose else ""
    cells = list(map("".join, zip(kinds, names, strict=True)))
    body = "".join("<tr>" + "".join(f"<td{k}>{_text(v)}</td>" for k, v in zip(cells, row, strict=True)) + "</tr>" for row in rows)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    titles = "".join(f'<th scope="col"{kind}>{escape(title)}</th>' for kind, title in zip(kinds, head, strict=True))
    name = escape(f"Table: {caption or ', '.join(head)}", quote=True)
    return (
        f'<div class="wide" role="group" aria-label="{name}">'
        f"<table{which}>{above}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def definitions(meanings: Iterable[tuple[str, str]]) -> str:
    """Return terms with their meanings, escaped, each meaning beside its term."""
    return "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in meanings) + "</dl>"


def code(text: str) -> str:
    """Return escaped lines of code."""
    return f'<pre class="wide"><code>{escape(text)}</code></pre>'


def folded(title: str, html: str) -> str:
    """Return HTML behind a title that opens it; it is open on paper."""
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def figure(drawn: Figure, alt: str, caption: str, *, narrow: Figure | None = None) -> str:
    """Embed a matplotlib figure, and close it: as SVG, or where that would be large as PNG with a PDF to download.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure
    alt : str
        What it shows, for readers who cannot see it.
    caption : str
        What the reader should see in it.
    narrow : matplotlib.figure.Figure, optional
        The same on at most four inches, for phones. Without it a phone shows a part of a wide figure, which can be moved.
    """
    from .embed import embedded

    source, download, width = embedded(drawn)
    name = re.sub(r"[^a-z0-9]+", "-", alt.lower()).strip("-")[:60].rstrip("-") or "figure"
    alt = escape(alt, quote=True)
    image = f'<img src="{source}" alt="{alt}" data-name="{name}" style="--width:{width}px">'
    if narrow is not None:
        on_phones, _, width = embedded(narrow)
        on_phones = on_phones.replace(" ", "%20")  # a space ends an address in this attribute
        image = f'<picture style="--narrow:{width}px"><source media="(max-width: 640px)" srcset="{on_phones}">{image}</picture>'
    link = f'<a download="{name}.pdf" href="{download}">Download PDF</a>' if download else ""
    return (
        f'<figure><div class="drawing" role="group" aria-label="Figure: {alt}">{image}</div>'
        f'<figcaption>{escape(caption)} <span class="downloads">{link}</span></figcaption></figure>'
    )


def write_page(path: Path, text: str, name: str) -> None:
    """Write a page; an older one stays as it was if it cannot be written.

    Raises
    ------
    StoreError
        If it cannot be written, with its name.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{name} {shown(path)}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
