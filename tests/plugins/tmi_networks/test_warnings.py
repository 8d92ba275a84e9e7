"""The literal networks warn where ε is within reach of the rounding of their images' dtype; the fused ones sum exactly."""

import warnings

import numpy as np
import pytest

import tmi


def task(epsilon):
    black, white = np.zeros((4, 4)), np.full((4, 4), 0.75)
    return tmi.TemplateTask(
        [
            tmi.TileClass("black", [tmi.FeatureTile(black, epsilon, np.ones((4, 4), bool))]),
            tmi.TileClass("white", [tmi.FeatureTile(white, epsilon)]),
        ],
        (1, 6, 6),
    )


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_an_epsilon_within_reach_of_rounding(name):
    with pytest.warns(tmi.RoundingWarning, match="within reach of float32 rounding"):
        tmi.build(name, task(1e-7), realisation="literal")


@pytest.mark.parametrize(("name", "realisation", "epsilon"), [
    ("theorem1", "literal", 1.0), ("theorem2", "literal", 1.0), ("theorem1", "fused", 1e-7), ("theorem2", "fused", 1e-7),
])  # fmt: skip
def test_no_warning_without_need(name, realisation, epsilon):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tmi.build(name, task(epsilon), realisation=realisation)
