"""Colours by origin, line styles that differ within a colour, images in grey and in colour."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tmi.runtime.plotting import CONSTRUCTED, TRAINED
from tmi_probes.figures.common import color_of, line_styles, origin_marks, show_image, two_lines


@pytest.mark.parametrize(("origin", "color"), [("constructed", CONSTRUCTED), ("trained", TRAINED), ("imported", TRAINED)])
def test_the_colour_is_that_of_the_origin(origin, color):
    assert color_of(origin) == color


def test_networks_of_one_colour_differ_by_their_line():
    origins = {"a": "constructed", "b": "trained", "constructed-looking name": "imported", "d": "constructed"}
    styles = line_styles(origins)
    assert [style["color"] for style in styles.values()] == [CONSTRUCTED, TRAINED, TRAINED, CONSTRUCTED]
    assert len({(style["color"], style["linestyle"]) for style in styles.values()}) == 4


def test_the_legend_names_the_colours_that_occur():
    assert [mark.get_label() for mark in origin_marks({"a": "trained"})] == ["trained"]
    assert [mark.get_label() for mark in origin_marks({"a": "imported", "b": "constructed"})] == ["constructed", "trained"]


def test_images_of_one_and_of_three_channels():
    for channels, shape in ((1, (4, 5)), (3, (4, 5, 3))):
        axis = Figure().subplots()
        show_image(axis, np.zeros((channels, 4, 5)))
        assert axis.images[0].get_array().shape == shape
        assert not len(axis.get_xticks())


def test_long_names_are_broken():
    assert two_lines("theorem 1: fused, wide, deep") == "theorem 1:\nfused,\nwide, deep"
