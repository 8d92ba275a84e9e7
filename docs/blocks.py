"""Parts of a page that a program writes: from a mark, such as ``<!-- dial: measures -->``, to ``<!-- end -->``."""

from __future__ import annotations

import re
from pathlib import Path


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
