"""Tests of the data set demo-name."""

import numpy as np
import pytest

import tmi


@pytest.mark.tmi("tmi_demo_name")
def test_what_tmi_asks_of_every_plug_in(tmi_check):
    tmi_check()


def test_each_image_shows_its_cross_by_hand():
    scenes = tmi.generate("demo-name", seed=3, samples=1, test_samples=40).test
    crosses = {0: [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)], 1: [(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)]}
    for image, label, row, col in zip(scenes.images[:, 0].numpy(), scenes.labels.tolist(), scenes.row, scenes.col, strict=True):
        assert all(image[row + i, col + j] == 1 for i, j in crosses[label])
    assert set(scenes.labels.tolist()) == {0, 1}


def test_a_network_that_is_constructed_for_it_makes_no_mistake():
    data = tmi.generate("demo-name", seed=0, samples=10, test_samples=100)
    assert tmi.probe("accuracy", tmi.build("theorem1", data), data).metrics["accuracy"] == 1
    assert np.isfinite(tmi.build("theorem1", data).logits(data.test.images).numpy()).all()
