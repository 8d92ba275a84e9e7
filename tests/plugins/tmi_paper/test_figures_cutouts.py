"""Figure 1: a row for each class, tiles and images on one scale, squares where a tile is transparent."""

import warnings

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import figure_style
from tmi_paper.figures_cutouts import figure_1


@pytest.fixture(scope="module")
def result():
    data = tmi.generate("cutouts", seed=0, image_size=24, sizes=[20], samples=1, test_samples=40)
    return tmi.probe("examples", tmi.build("theorem1", data), data, per_class=4)


@pytest.fixture
def axes(result):
    from matplotlib import pyplot

    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_1(result)
        figure.canvas.draw()
        yield np.array(figure.axes).reshape(2, 7)
        pyplot.close(figure)


def test_two_tiles_and_four_images_of_each_class(result, axes):
    shown = [[len(axis.images) for axis in row] for row in axes]
    assert shown == [[1, 1, 0, 1, 1, 1, 1]] * 2
    for label in range(2):
        images = result.arrays["images"].values[result.arrays["label"].values == label]
        for axis, image in zip(axes[label, 3:], images, strict=True):
            np.testing.assert_array_equal(axis.images[0].get_array(), image.transpose(1, 2, 0))


def test_tiles_and_images_have_one_scale(result, axes):
    boxes = [axis.get_window_extent() for axis in axes[:, [0, 1, 3, 4, 5, 6]].flat]
    assert np.ptp([box.width for box in boxes]) < 0.5
    for axis in axes[:, :2].flat:
        assert np.ptp(axis.get_xlim()) == np.ptp(axes[0, 3].get_xlim()) == 24
        assert abs(np.ptp(axis.get_ylim())) == 24


def test_a_tile_is_transparent_outside_its_support(result, axes):
    for tile, axis in enumerate(axes[:, :2].flat):
        rows, cols = result.arrays["template_size"].values[tile]
        drawn = np.asarray(axis.images[0].get_array()).transpose(2, 0, 1)
        assert drawn.shape == (3, rows, cols)
        support = result.arrays["template_support"].values[tile, :, :rows, :cols]
        values = result.arrays["templates"].values[tile, :, :rows, :cols]
        np.testing.assert_array_equal(drawn[support], values[support])
        assert set(np.unique(drawn[~support])) == {0.86, 1.0}


def test_a_data_set_in_grey():
    from matplotlib import pyplot

    data = tmi.generate("fashion", seed=0, samples=1, test_samples=30, source="sample")
    with figure_style():
        figure = figure_1(tmi.probe("examples", tmi.build("theorem1", data), data, per_class=1))
        assert len(figure.axes) == 10 * 3
        pyplot.close(figure)
