"""The task that the tests of scenes and data sets share."""

from __future__ import annotations

import numpy as np
import pytest

from tmi import FeatureTile, TemplateTask, TileClass

TILE = FeatureTile([[0.25, 0.0], [0.5, 0.75]], 0.1)  # support: all but the top right pixel


@pytest.fixture
def task():
    return TemplateTask([TileClass("a", [TILE]), TileClass("b", [FeatureTile(np.ones((1, 3)), 0.1)])], (1, 4, 5))
