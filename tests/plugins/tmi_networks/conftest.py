"""A small task that both theorems are tried on."""

import numpy as np
import pytest
import torch

import tmi


@pytest.fixture
def task():
    """Two sizes, values 0 and 1 among them, an irregular support, two tiles in a class; the two larger tiles share quarters."""
    ring = np.array([[1, 1, 0], [1, 0, 1]], bool)
    return tmi.TemplateTask(
        [
            tmi.TileClass("corner", [tmi.FeatureTile([[0, 0.25], [0.5, 1]], 0.5, np.ones((2, 2), bool))]),
            tmi.TileClass("bar", [tmi.FeatureTile(np.ones((3, 1)), 0.5), tmi.FeatureTile([[1, 0, 1], [0.5, 1, 0]], 0.25, ring)]),
        ],
        (1, 4, 5),
    )


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 5, (40, 1, 4, 5)) / 4)
