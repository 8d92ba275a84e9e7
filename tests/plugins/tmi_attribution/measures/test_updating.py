import numpy as np
import pytest
import torch
from torch import nn

from tests.plugins.tmi_probes.toys import Sums, small_cnn
from tmi_attribution.measures import curves
from tmi_attribution.measures.curves import flipping_curve
from tmi_attribution.measures.updating import followed_logits

from .cases import asked
from .test_agreement import colour

RNG = np.random.default_rng(0)


def evaluated(maps, truth, monkeypatch, **settings):
    with monkeypatch.context() as patch:
        patch.setattr(curves, "followed_logits", lambda *_: None)
        return flipping_curve(maps, truth, **settings)


def followed(truth, steps=64):
    step = curves._step_of_pixel(RNG.random((len(truth), 64)), curves._flipped(64, steps)).reshape(-1, 8, 8)
    return followed_logits(truth, truth.images, truth.baselines, step, steps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("baseline", ["black", "background"])
@pytest.mark.parametrize("insert", [False, True])
@pytest.mark.parametrize("data", [None, "colour"])
def test_it_is_what_evaluating_every_image_gives(monkeypatch, dtype, baseline, insert, data):
    truth = asked(images=4, dtype=dtype, baseline=baseline, data=data and colour())
    maps = RNG.integers(0, 20, (4, 8, 8)) / 19
    expected = evaluated(maps, truth, monkeypatch, steps=200, insert=insert)
    step = curves._step_of_pixel(maps.reshape(4, -1), curves._flipped(64, 200)).reshape(maps.shape)
    before, after = (truth.baselines, truth.images) if insert else (truth.images, truth.baselines)
    found = followed_logits(truth, before, after, step, 200)
    assert found == pytest.approx(expected, abs=1e-12 if dtype == torch.float64 else 1e-6)
    assert flipping_curve(maps, truth, steps=200, insert=insert).tolist() == found.tolist()


def test_a_linear_layer_that_gives_the_logits():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, (2, 3), bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 7 * 6, 3))
    truth = asked(module, 3, dtype=torch.float64)
    assert followed(truth)[:, -1] == pytest.approx(truth.logit(truth.baselines), abs=1e-12)
    assert followed(truth)[:, 0] == pytest.approx(truth.logit(truth.images), abs=1e-12)


def first(changed):
    """The small network with another first convolution, its maps as large as before."""
    module = small_cnn()
    module.conv[0] = changed
    return module


@pytest.mark.parametrize(
    "module",
    [
        Sums(),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3)),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(18, 3)),
        first(nn.Conv2d(1, 4, 5, padding=1)),
        first(nn.Conv2d(1, 4, 2, dilation=2)),
    ],
)
def test_other_networks_are_evaluated(module):
    truth = asked(module, 3)
    assert followed(truth) is None
    assert flipping_curve(RNG.random((3, 8, 8)), truth, steps=64)[:, 0] == pytest.approx(truth.logit(truth.images), rel=1e-5)


def test_few_steps_and_hooks_are_evaluated():
    assert followed(asked(images=2), steps=20) is None
    truth = asked(images=2)
    truth.module.conv.register_forward_hook(lambda *_: None)
    assert followed(truth) is None
