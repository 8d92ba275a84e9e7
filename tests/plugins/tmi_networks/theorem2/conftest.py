"""A task of many tiles, for the memory bound."""

from __future__ import annotations

import numpy as np
import pytest

import tmi


@pytest.fixture
def many():
    rng = np.random.default_rng(5)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.random((5, 4)), 0.4) for _ in range(3)]) for i in range(4)]
    return tmi.TemplateTask(classes, (1, 9, 8))
