"""Numerical integrated gradients against the closed form, and probe ``ig-convergence``."""

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import TASK, cnn_network, dataset
from tmi_attribution.convergence import convergence, ig_convergence


@pytest.fixture(scope="module")
def data():
    return dataset(30)


@pytest.mark.parametrize("start", ["black", "background"])
def test_the_error_falls_like_one_over_the_steps(start):
    """A straight line of slope −1 through the logarithms: the gradient jumps where a neuron becomes active."""
    steps = [10, 20, 40, 80, 160]
    errors = convergence(tmi.build("theorem1", TASK), dataset(20).test, steps, start=start)
    assert errors.shape == (5, 20)
    slope, _ = np.polyfit(np.log(steps), np.log(errors.mean(1)), 1)
    assert slope == pytest.approx(-1, abs=0.2)


def test_rounding_alone_where_the_window_is_active_on_the_whole_path():
    """One window, of the image's size; from black no pixel passes its value before the end, where the tile is shown."""
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((5, 6)), 31.0)]
    task = tmi.TemplateTask([tmi.TileClass("only", tiles)], (1, 5, 6))
    scenes = tmi.Scenes(task, np.zeros((1, 1, 5, 6)), 0, 0, 0)
    assert convergence(tmi.build("theorem1", task), scenes, [1, 7, 100]) == pytest.approx(0, abs=1e-7)  # Captum's weights


def test_rounding_alone_on_larger_images_would_be_an_accident():
    """The same ε with several windows: the others' pixels pass their values, and the error is no longer rounding."""
    rng = np.random.default_rng(0)
    task = tmi.TemplateTask([tmi.TileClass("only", [tmi.FeatureTile(rng.random((5, 6)), 31.0)])], (1, 7, 8))
    scenes = tmi.Scenes(task, rng.random((4, 1, 7, 8)), 0, 1, 1)
    few, many = convergence(tmi.build("theorem1", task), scenes, [10, 160])
    assert (few > 1e-4).all()
    assert many.mean() < few.mean() / 5


def test_nothing_to_be_near_to():
    """Where the background shows the tile already, the path stands still."""
    scenes = dataset(4).test
    still = tmi.Scenes(TASK, scenes.images, scenes.tile, scenes.row, scenes.col)
    assert np.isnan(convergence(tmi.build("theorem1", TASK), still, [5], start="background")).all()


class Doubled(torch.nn.Module):
    """The logits of a network, with twice their gradient."""

    def __init__(self, network):
        super().__init__()
        self.inner, self.logits = network.module, torch.nn.Identity()

    def forward(self, images):
        logits = self.inner(images)
        return self.logits(2 * logits - logits.detach())


def test_the_gradients_are_those_of_the_network_that_is_given(data):
    """It used to attribute Theorem 1's network, whatever network was given: an error near 0 here, with twice each gradient."""
    module = Doubled(tmi.build("theorem1", data))
    network = tmi.Network(module, ["logits"], "constructed", task=data.task)
    metrics = ig_convergence(network, data, images=6, steps=[10, 160]).metrics
    assert metrics["awake.10"] == pytest.approx(1, abs=1e-6)
    assert metrics["error.160"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("theorem1", {"realisation": "literal"}), ("theorem2", {}), ("superposed", {"code": "dense", "neurons": 3})],
    ids=str,
)
def test_every_construction_converges_to_the_closed_form(data, name, settings):
    network, scenes = tmi.build(name, data, seed=0, **settings), data.test[:4]
    few, many = convergence(network, scenes, [10, 80])
    assert many.mean() < few.mean() / 3
    assert convergence(network, scenes, [3], start="near").max() < 1e-6


def test_errors_fall_and_are_rounding_where_the_window_is_active(data):
    network = tmi.build("theorem1", data)
    result = ig_convergence(network, data, images=6, steps=[10, 40, 160])
    assert result.coords["step"].tolist() == [10, 40, 160]
    errors = result.arrays["error"].values
    assert errors == pytest.approx(convergence(network, data.test[:6], [10, 40, 160]))
    assert result.metrics["error.40"] == pytest.approx(errors[1].mean())
    assert result.metrics["error.160"] < result.metrics["error.10"] / 4
    assert result.arrays["awake"].shape == (3, 6)
    assert result.arrays["awake"].values.max() < 1e-6  # Captum's weights are in single precision
    assert result.describe("awake.10").better == "lower"


def test_only_where_the_closed_form_is_known(data):
    trained = ig_convergence(cnn_network(), data)
    assert not trained.applicable
    assert "compute φ alone" in trained.notes[0]
    with pytest.raises(tmi.InputError, match="steps: expected at least one, each once"):
        ig_convergence(tmi.build("theorem1", data), data, steps=[5, 5])


def test_where_the_exact_attribution_is_0_there_is_no_relative_error():
    """From a black image to a black tile no pixel of the tile moves."""
    task = tmi.TemplateTask([tmi.TileClass("black", [tmi.FeatureTile(np.zeros((3, 3)), 0.3, np.ones((3, 3), bool))])], (1, 3, 3))
    result = ig_convergence(tmi.build("theorem1", task), dataset(3, task=task), images=3, steps=[5])
    assert not result.applicable
    assert "0 everywhere" in result.notes[0]
