"""Small pieces of HTML for notebooks: escaped text, tables and pictures, which take the colours of the page around them.

What is shown is bounded, however large the object: texts are cut, tables have a largest number of rows, and a picture has a
largest number of bytes. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

LONGEST = 90
"""Characters after which a text is cut."""

ROWS = 30
"""Rows after which a table is cut."""

_FAINT = "rgba(128,128,128,.45)"  # visible on a light and on a dark page
_TABLE = "border-collapse:collapse;margin:0;color:inherit;font-size:inherit"
_CELL = f"padding:.15em .8em .15em 0;text-align:left;vertical-align:top;border-bottom:1px solid {_FAINT}"


def clip(value: object, longest: int = LONGEST) -> str:
    """Return a text in one line, cut after so many characters."""
    text = value if isinstance(value, str) else str(value)
    text = re.sub(r"[ \t\r\n]+", " ", text[: 8 * longest]).strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def text_of(value: object) -> str:
    """Return how a table writes a value: numbers with five significant digits, None as a dash and long text cut."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) < 10**15 else f"{value:.5g}" if abs(value) < 10**300 else "…"
    return clip(value, 2 * LONGEST)


def card(title: str, subtitle: str = "", *parts: str) -> str:
    """Return the frame around everything that is shown of an object.

    Parameters
    ----------
    title, subtitle : str
        Plain text.
    *parts : str
        HTML, one below the other; empty ones are left out.
    """
    head = f"<strong>{escape(clip(title))}</strong>" + (f" {escape(clip(subtitle, 200))}" if subtitle else "")
    body = "".join(f'<div style="margin-top:.4em">{part}</div>' for part in parts if part)
    return f'<div class="tmi" style="line-height:1.45;overflow-x:auto"><div>{head}</div>{body}</div>'


def beside(*parts: str) -> str:
    """Return pieces of HTML side by side, below each other where there is no room."""
    inner = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:.8em 1.6em;align-items:flex-start">{inner}</div>'


def facts(values: Mapping[str, object]) -> str:
    """Return a table of names and values; those that are None or empty are left out."""
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;white-space:nowrap;opacity:.75">{escape(clip(name))}</th>'
        f'<td style="{_CELL}">{escape(clip(value, 240) if isinstance(value, str) else text_of(value))}</td></tr>'
        for name, value in values.items()
        if value is not None and value != ""
    )
    return f'<table style="{_TABLE}">{rows}</table>' if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], total: int | None = None, most: int = ROWS) -> str:
    """Return a table.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequence
        Values, or HTML of this module as `Raw`. At most ``most`` of them are read.
    total : int, optional
        How many rows there are in all, where that is known; a line below says how many are not shown.
    most : int
    """
    shown = [row for row, _ in zip(rows, range(most), strict=False)]
    if not shown:
        return ""
    titles = "".join(f'<th scope="col" style="{_CELL}">{escape(clip(name))}</th>' for name in head)
    body = "".join("<tr>" + "".join(f'<td style="{_CELL}">{_content(value)}</td>' for value in row) + "</tr>" for row in shown)
    left = (total or 0) - len(shown)
    more = line(f"and {left:,} more") if left > 0 else ""
    return f'<table style="{_TABLE}"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>{more}'


class Raw(str):
    """HTML in a cell of a table, which is not escaped."""

    __slots__ = ()


def _content(value: object) -> str:
    return str(value) if isinstance(value, Raw) else escape(text_of(value))


def line(text: str) -> str:
    """Return a remark of one line."""
    return f'<div style="opacity:.75">{escape(clip(text, 300))}</div>'
