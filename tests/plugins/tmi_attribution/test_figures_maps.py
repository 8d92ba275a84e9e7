"""Figures of maps: every network under every method, what was refused, images of any colours."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tmi.runtime.plotting import figure_style
from tmi_attribution.figures_maps import map_grid, side_by_side

METHODS = ["saliency", "deeplift", "occlusion"]


@pytest.fixture(autouse=True)
def _styled():
    with figure_style():
        yield
        plt.close("all")


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_map_grid_has_every_network_under_every_method():
    rng = np.random.default_rng(0)
    image, mask = rng.random((1, 6, 5)), np.zeros((6, 5), bool)
    mask[2:4, 1:3] = True
    maps = {
        "constructed": {"saliency": rng.normal(size=(6, 5)), "deeplift": None, "occlusion": np.zeros((6, 5))},
        "trained": {"saliency": rng.normal(size=(6, 5)) * 1e-9, "deeplift": rng.normal(size=(6, 5))},
    }
    figure = map_grid(image, mask, maps, METHODS, columns=2)
    assert len(figure.axes) == 1 + 2 * 3
    names = [text.get_text() for text in figure.texts]
    assert names == ["constructed | trained", "image", *METHODS]
    shown = [texts(axis) for axis in figure.axes]
    assert shown == [[], [], [], ["refused"], [], ["all 0"], ["–"]]
    tiny = figure.axes[2].images[0]  # each is scaled alone, with 0 in the middle
    assert tiny.get_clim() == (-tiny.get_array().__abs__().max(), tiny.get_array().__abs__().max())
    assert tiny.get_cmap().name == "RdBu_r"
    outline = figure.axes[1].collections[0].get_segments()
    assert len(outline) == 8  # the border of 2×2 pixels


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_side_by_side_and_images_of_any_colours(channels):
    image, mask = np.random.default_rng(0).random((channels, 4, 4)), np.ones((4, 4), bool)
    maps = {name: {method: np.eye(4) for method in METHODS} for name in ("one", "two", "three")}
    figure = side_by_side(image, mask, maps, METHODS)
    assert len(figure.axes) == 3 * 4
    assert [axis.get_title() for axis in figure.axes[:4]] == ["image", *METHODS]
    assert [figure.axes[4 * row].get_ylabel() for row in range(3)] == ["one", "two", "three"]
