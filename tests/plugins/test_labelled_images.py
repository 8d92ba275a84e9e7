"""Every probe on images with given labels and no tiles: it runs, or says why not."""

import math

import numpy as np
import pytest

import tmi
from tests.network_forms import SETTINGS

RUN = {
    "ablation", "accuracy", "activation-sparsity", "attack", "certificate", "cka", "decodability", "dictionary", "examples",
    "linear-regions", "local-linear-form", "prunability", "randomisation", "responsible-neurons", "selectivity",
    "weight-sparsity",
}  # fmt: skip
QUICK = ("accuracy", "activation-sparsity", "examples", "local-linear-form", "unit-recovery", "attribution-bench")
PROBES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in tmi.names("probe")]
OF_TILES = ("tile", "windows_per_image", "support_share", "similarity_backgrounds", "path_regions", "cka_other", "known_tile")


@pytest.fixture(scope="module")
def world():
    """Three classes that differ in their colour, in noise, and a small trained network."""
    rng = np.random.default_rng(0)
    task = tmi.LabelledTask(["red", "green", "blue"], (3, 8, 8))

    def images():
        labels = rng.integers(0, 3, 60)
        pixels = rng.random((60, 3, 8, 8), np.float32) / 2
        pixels[np.arange(60), labels] += 0.5
        return tmi.LabelledImages(task, pixels, labels)

    data = tmi.Dataset(task, images(), images())
    return tmi.build("cnn", data, filters=3, kernel=2, hidden=6, epochs=5, batch_size=8), data


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_runs_or_says_why_not(world, name):
    settings = {"method": "saliency", "images": 3} if name == "attribution-bench" else SETTINGS.get(name, {})
    result = tmi.probe(name, *world, **settings)
    assert result.applicable == (name in RUN), result.notes
    if not result.applicable:
        assert len(result.notes) == 1
    for metric, value in result.metrics.items():
        assert math.isfinite(value)
        assert not any(part in metric for part in OF_TILES), metric
        info = result.describe(metric)
        assert info.low is None or value >= info.low - 1e-9, metric
        assert info.high is None or value <= info.high + 1e-9, metric
