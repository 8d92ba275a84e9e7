"""Labelled images: what is known of them behaves as for scenes, and what follows from tiles raises one error."""

import numpy as np
import pytest
import torch

import tmi
from tmi.errors import InputError, NoTilesError


@pytest.fixture
def data():
    task = tmi.LabelledTask(["one", "two"], (3, 5, 4))
    rng = np.random.default_rng(0)
    parts = (tmi.LabelledImages(task, rng.random((6, 3, 5, 4), np.float32), np.arange(6) % 2) for _ in range(2))
    return tmi.Dataset(task, *parts)


def test_what_is_known(data):
    test = data.test
    assert (len(test), test.images.shape, test.labels.tolist()) == (6, (6, 3, 5, 4), [0, 1, 0, 1, 0, 1])
    assert (data.task.class_names, len(data.task.classes), data.task.classes[1].name) == (("one", "two"), 2, "two")
    assert test.tile.tolist() == [-1] * 6
    for index in (slice(1, 3), [4, 0], torch.tensor([5]), np.arange(6) > 2, 3):
        chosen = np.arange(6)[index if not isinstance(index, torch.Tensor) else index.numpy()].reshape(-1)
        part = test[index]
        assert torch.equal(part.images, test.images[chosen])
        assert part.labels.tolist() == (chosen % 2).tolist()
    assert test.repeated(2).labels.tolist() == [0, 0, 1, 1] * 3
    assert test.double().images.dtype == torch.float64
    assert torch.equal(test.double().images.float(), test.images)


@pytest.mark.parametrize(
    "ask",
    [
        lambda task, scenes: task.tiles,
        lambda task, scenes: task.tile_class,
        lambda task, scenes: task.windows,
        lambda task, scenes: task.classes[0].tiles,
        lambda task, scenes: task.tile_name(0),
        lambda task, scenes: task.phi(scenes.images),
        lambda task, scenes: task.memberships(scenes.images),
        lambda task, scenes: task.labels(scenes.images),
        lambda task, scenes: task.separation(),
        lambda task, scenes: scenes.masks,
        lambda task, scenes: scenes.unambiguous(),
        lambda task, scenes: scenes.moved(0, 0),
        lambda task, scenes: scenes.with_tiles(0, 0, 0),
        lambda task, scenes: scenes.without_tiles(),
        lambda task, scenes: scenes.with_backgrounds(0.5),
        lambda task, scenes: tmi.Scenes.draw(task, 2, rng=np.random.default_rng(0)),
        lambda task, scenes: tmi.Scenes(task, scenes.images, 0, 0, 0),
        lambda task, scenes: tmi.build("theorem1", task),
        lambda task, scenes: tmi.build("theorem2", task),
        lambda task, scenes: tmi.build("superposed", task),
    ],
)
def test_what_follows_from_tiles_is_not_known(data, ask):
    with pytest.raises(NoTilesError, match="the images have no tiles"):
        ask(data.task, data.test)


def test_bad_input():
    task = tmi.LabelledTask(["one", "two"], (1, 2, 2))
    images = np.zeros((2, 1, 2, 2), np.float32)
    for labels, message in (([0, 2], "labels: 2 is not one"), ([-1, 0], "labels: -1"), ([0.5, 1], "labels: expected whole")):
        with pytest.raises(InputError, match=message):
            tmi.LabelledImages(task, images, labels)
    with pytest.raises(InputError, match="images: expected"):
        tmi.LabelledImages(task, images[:, :, :1], [0, 1])
    with pytest.raises(InputError, match="more than once: one"):
        tmi.LabelledTask(["one", "one"], (1, 2, 2))
    with pytest.raises(InputError, match="at least one class"):
        tmi.LabelledTask([], (1, 2, 2))


def test_a_probe_that_asks_for_tiles_is_not_applicable(data):
    network = tmi.Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(60, 2)), ["1"], "imported", task=data.task)
    result = tmi.probe("translation-robustness", network, data)
    assert not result.applicable
    assert "no tiles" in result.notes[0]
    assert tmi.probe("accuracy", network, data).applicable
