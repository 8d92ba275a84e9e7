import numpy as np
import pytest

from tmi_attribution.measures.infidelity import infidelity
from tmi_attribution.measures.replacing import change, constant_if_zero, logits_of_images, logits_without

from .cases import asked, sums

RNG = np.random.default_rng(0)


def test_a_map_of_zeros_is_a_constant_map():
    truth = asked(images=4)
    zeros, constant = (infidelity(np.full(truth.images.shape, v), truth, seed=0) for v in (0.0, 7.0))
    assert zeros == pytest.approx(constant, abs=1e-12)


def test_changed_images_are_evaluated_once_for_all_methods():
    truth = asked(images=3)
    calls = []
    truth.module.register_forward_hook(lambda *_: calls.append(1))
    infidelity(RNG.normal(size=(3, 1, 8, 8)), truth, seed=0)
    first = len(calls)
    infidelity(RNG.normal(size=(3, 1, 8, 8)), truth, seed=0)
    assert len(calls) == first > 0


def test_a_region_of_the_image_is_replaced_by_the_baseline():
    """The logit of `sums` is the sum of the pixels: it loses those of the region."""
    truth = asked(sums(), images=3)
    region = np.zeros((2, 8, 8), bool)
    region[0, 2:5, 1:4] = True
    pixels = truth.images.numpy()[:, 0]
    lost = np.stack([pixels[:, 2:5, 1:4].sum((1, 2)), np.zeros(3)])
    assert logits_without(truth, region) == pytest.approx(logits_of_images(truth) - lost, abs=1e-4)


def test_rounding_is_no_change():
    truth = asked(images=2)
    logits = np.array([1.0, 1.0])
    assert change(logits, logits + np.array([1e-7, 1e-3]), truth).tolist() == [0, pytest.approx(-1e-3)]


def test_only_a_map_of_zeros_becomes_constant():
    maps = np.zeros((2, 1, 2, 2))
    maps[1, 0, 0, 1] = 3
    assert constant_if_zero(maps).tolist() == [np.ones((1, 2, 2)).tolist(), maps[1].tolist()]
