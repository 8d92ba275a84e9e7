from __future__ import annotations

import re
import warnings
from urllib.parse import unquote

import numpy as np
import pytest

from tmi.report import embed
from tmi.runtime.plotting import figure_style


def drawn(layout="constrained"):
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(2, 2), layout=layout)
    axes = figure.add_axes((0, 0, 1, 1)) if layout == "none" else figure.add_subplot()
    axes.imshow(np.arange(16.0).reshape(4, 4))
    return figure


def test_an_svg_holds_the_pixels_of_an_image_and_short_numbers():
    with figure_style():
        address, download, width = embed.embedded(drawn())
    svg = unquote(address.removeprefix("data:image/svg+xml,"))
    assert download == ""
    assert width == round(float(re.search(r'width="([0-9.]+)pt"', svg)[1]) * 4 / 3)
    assert "image-rendering:pixelated" in svg, "its pixels keep their edges"
    assert "metadata" not in svg
    assert max((len(digits) for digits in re.findall(r"[0-9]\.([0-9]+)", svg.partition("base64")[0])), default=0) <= 4
    assert not {'"', "#", "&", "\n"} & set(address), "safe in an attribute and in an address"
    assert "://" not in address


@pytest.mark.parametrize("number", [0.015625, -0.015625, 1.23456, -123.456789, 0.0001234, 1e5 / 3])
def test_numbers_are_rounded_to_what_can_be_seen(number):
    rounded = float(embed._shortened(f'<path d="M {number:.6f} 0"/>').partition("M ")[2].partition(" ")[0])
    assert rounded == pytest.approx(number, abs=0.005 if abs(number) >= 1 else 5e-5)


def test_a_layout_of_ones_own_stays(monkeypatch):
    """Saving twice, matplotlib gave a figure without a layout engine the default one, and warned."""
    monkeypatch.setattr(embed, "LARGEST_SVG", 100)
    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        image, download, _ = embed.embedded(drawn("none"))
    assert image.startswith("data:image/png")
    assert download.startswith("data:application/pdf")
