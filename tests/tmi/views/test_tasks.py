"""What HTML and plots show of tasks is what the objects hold, and no more is rendered than is shown."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import tmi
from tmi.tasks.backgrounds import draw_recipes

from .shown import scenes, small_task

mpl.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def test_no_more_images_are_rendered_than_are_shown():
    task, rendered = small_task(), []

    def law(rng, task):
        rendered.append(1)
        return np.full(task.image_shape, 0.25)

    shown = tmi.Scenes(task, draw_recipes(np.random.default_rng(0), task, 1000, law), 0, 0, 0)
    rendered.clear()
    shown._repr_html_()
    assert len(rendered) == 8
    tmi.Dataset(task, shown, shown)._repr_html_()
    assert len(rendered) == 16
    shown.plot(count=5)
    assert len(rendered) == 21


def test_an_image_of_millions_of_pixels_is_not_rendered():
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(np.ones((1, 2, 2)), 0.1)])], (1, 4000, 4000))
    shown = tmi.Scenes(task, draw_recipes(np.random.default_rng(0), task, 3, lambda rng, task: pytest.fail("rendered")), 0, 0, 0)
    assert "<img" not in shown._repr_html_()


def test_scenes_are_drawn_with_labels():
    shown = scenes(count=3)
    axes = shown.plot(count=2)
    np.testing.assert_array_equal(axes.images[1].get_array(), shown.images[1, 0])
    assert [text.get_text() for text in axes.texts][1] == r"\$x^2"
    assert "the first 2 of 3 scenes" in axes.get_title(loc="left")
    assert len(axes.images) == 2


def test_a_class_has_a_row_and_test_images_follow_where_training_images_are_few():
    task = small_task()
    train = tmi.Scenes(task, np.zeros((2, 1, 4, 4), np.float32), [0, 0], 0, 0)
    test = tmi.Scenes(task, np.full((3, 1, 4, 4), 0.5, np.float32), [0, 0, 1], 0, 0)
    axes = tmi.Dataset(task, train, test, name="n").plot(per_class=3)
    shown = [
        (round((e[0] + e[1]) / 2), round((e[2] + e[3]) / 2), float(i.get_array()[3, 3]))
        for i in axes.images
        for e in [i.get_extent()]
    ]
    assert shown == [(0, 0, 0.0), (1, 0, 0.0), (2, 0, 0.5), (0, 1, 0.5)]
    assert "2 for training, 3 for tests" in axes.get_title(loc="left")


def test_matches_are_counted_by_place():
    task, images = small_task(), scenes(count=6).images
    found = tmi.match(images, task.tiles)
    counts = np.zeros((3, 3))
    for row, col in zip(found.row.tolist(), found.col.tolist(), strict=True):
        counts[row, col] += 1
    shown = np.asarray(found.plot().images[0].get_array())
    np.testing.assert_array_equal(shown, counts[: shown.shape[0], : shown.shape[1]])
    assert shown.sum() == len(found) > 0


def test_ink_is_drawn_black():
    for ink, colours in ((True, "gray_r"), (False, "gray")):
        assert small_task(ink=ink).plot().images[0].get_cmap().name == colours


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_count_that_is_none(count):
    for call in (lambda: small_task().plot(per_class=count), lambda: scenes().plot(count=count)):
        with pytest.raises(tmi.InputError, match="expected a whole number of at least 1"):
            call()
