"""What every test shares: quiet property tests, one torch thread, and small tasks."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tmi

settings.register_profile(
    "tmi",
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tmi")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_colours() -> None:
    """Compare plain texts also where the caller asks for colours, as services for continuous integration do."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        os.environ.pop(name, None)


@pytest.fixture
def squares() -> tmi.TemplateTask:
    """The task of section 6.1: a black or a white 2×2 square, full support, in 4×4 images, drawn as ink."""
    full = np.ones((2, 2), bool)
    return tmi.TemplateTask(
        [
            tmi.TileClass("black", [tmi.FeatureTile(np.ones((2, 2)), 0.5, full)]),
            tmi.TileClass("white", [tmi.FeatureTile(np.zeros((2, 2)), 0.5, full)]),
        ],
        (1, 4, 4),
        ink=True,
    )
