"""Embeds figures in a page: as SVG, which is sharp at every size, or where that would be large as PNG with a PDF to download."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_SVG = 400_000
"""Bytes. A larger one, of thousands of lines, is slow to draw and makes the page heavy."""

PNG_DPI = 130
"""Of a figure whose SVG is too large."""

_NO_DATES: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def embedded(drawn: Figure) -> tuple[str, str, int]:
    """Return a figure as the addresses of an image and of a file to download, and close it.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure

    Returns
    -------
    image, download : str
        Addresses that hold the data themselves, safe in an attribute. The second, of a PDF, is empty where the image is an SVG:
        the image itself can then be downloaded.
    width : int
        Of the image, in pixels of CSS (96 an inch).
    """
    import matplotlib.pyplot as plt
    from matplotlib.image import AxesImage

    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")  # the layout takes most of the time, and stays as it is
    for shown in drawn.findobj(AxesImage):
        shown.set_interpolation("none")  # an SVG then holds the pixels themselves, and browsers keep their edges sharp
    try:
        svg = _shortened(_saved(drawn, "svg").decode())
        found = re.search(r'width="([\d.]+)pt"', svg)
        width = round(float(found[1]) / 72 * 96) if found else 0
        if len(svg) <= LARGEST_SVG:
            return "data:image/svg+xml," + quote(svg, safe=" ~()*!.'/;,=?@+<>-_"), "", width
        return _in_base64("image/png", _saved(drawn, "png")), _in_base64("application/pdf", _saved(drawn, "pdf")), width
    finally:
        plt.close(drawn)


def _saved(drawn: Figure, kind: str) -> bytes:
    """Return a figure as a file, the same bytes each time."""
    import matplotlib as mpl

    data = io.BytesIO()
    # Restoring a figure without a layout engine, matplotlib gives it the default one: there is none here.
    with mpl.rc_context({"svg.hashsalt": "tmi", "figure.constrained_layout.use": False}):
        drawn.savefig(data, format=kind, dpi=PNG_DPI, bbox_inches="tight", metadata=_NO_DATES[kind])
    return data.getvalue()


def _shortened(svg: str) -> str:
    """Return an SVG with a hundredth of a point as the precision of numbers, on one line, and with quotes that need no escape."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!DOCTYPE[^>]*>|<\?xml[^>]*>", "", svg, flags=re.DOTALL)
    svg = _NUMBER.sub(lambda number: _rounded(float(number[0])), svg)
    return re.sub(r"\s+", " ", svg).replace(' "', '"').strip()


def _rounded(number: float) -> str:
    return f"{number:.{2 if abs(number) >= 1 else 4}f}".rstrip("0").rstrip(".")  # factors of scales are below 1


def _in_base64(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
