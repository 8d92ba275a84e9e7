import numpy as np
import pytest
import torch
from captum.attr import Saliency
from captum.metrics import sensitivity_max as captum_sensitivity_max

import tmi
from tests.plugins.tmi_probes.toys import small_cnn
from tmi_attribution.measures.sensitivity import _sets, sensitivity_max, sensitivity_n

from .cases import asked, contributions, gradient, sums

RNG = np.random.default_rng(0)


def times_input(truth):
    return gradient(truth) * truth.images.double().numpy()


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not")
def test_sensitivity_max_is_captums_with_draws_of_its_own():
    truth = asked(images=4, dtype=torch.float64)
    truth.images = truth.images * 0.9 + 0.05  # nothing is held back at 0 and 1
    draws = iter([])

    def perturb(x):
        return x + next(draws)

    found = sensitivity_max(gradient(truth), truth, seed=1, attribute=gradient, radius=0.04, draws=6)
    rng = np.random.default_rng(1)
    noise = torch.from_numpy(rng.uniform(-0.04, 0.04, (6, 1, 8, 8)))
    for i in range(4):
        draws = iter([noise])
        method = Saliency(truth.module)
        expected = captum_sensitivity_max(
            method.attribute, truth.images[i : i + 1], perturb, n_perturb_samples=6, target=int(truth.targets[i]), abs=False
        )
        assert found[i] == pytest.approx(float(expected[0]), abs=1e-9)


def test_changed_images_stay_images():
    truth = asked(images=3)
    seen = []

    def attribute(other):
        seen.append((float(other.images.min()), float(other.images.max())))
        return gradient(other)

    sensitivity_max(gradient(truth), truth, seed=0, attribute=attribute, radius=5.0, draws=3)
    assert seen == [(0, 1)] * 3


def test_a_gradient_of_a_linear_network_does_not_move_and_the_image_does():
    truth = asked(sums(), images=3)
    assert sensitivity_max(gradient(truth), truth, seed=0, attribute=gradient).tolist() == [0] * 3
    assert (sensitivity_max(times_input(truth), truth, seed=0, attribute=times_input) > 0).all()


def test_a_change_that_rounding_swallows_is_none():
    truth = asked(images=3)
    truth.images = truth.images * 0.5 + 0.4
    assert np.isnan(sensitivity_max(gradient(truth), truth, seed=0, attribute=gradient, radius=1e-12)).all()


def test_of_no_attribution_no_change_is_a_share():
    truth = asked(images=3)
    maps = gradient(truth)
    maps[1] = 0
    assert np.isnan(sensitivity_max(maps, truth, seed=0, attribute=gradient)).tolist() == [False, True, False]


@pytest.mark.parametrize("baseline", ["black", "background"])
def test_sensitivity_n_against_plain_correlation(baseline):
    truth = asked(images=3, baseline=baseline, dtype=torch.float64)
    maps, shares = RNG.normal(size=(3, 1, 8, 8)), [0.05, 0.5]
    found = sensitivity_n(maps, truth, seed=2, shares=shares, sets=9)
    for i in range(3):
        x, b, target = truth.images[i], truth.baselines[i], truth.targets[i]
        each = []
        for some in _sets(2, shares, 9, (8, 8)):
            said = [maps[i, 0][one].sum() for one in some]
            gone = [torch.where(torch.from_numpy(one), b, x) for one in some]
            seen = [float(truth.module(x[None])[0, target] - truth.module(image[None])[0, target]) for image in gone]
            each.append(np.corrcoef(said, seen)[0, 1] if np.ptp(seen) else np.nan)
        assert found[i] == pytest.approx(np.nanmean(each), abs=1e-9)


def test_of_a_linear_network_the_contributions_correlate_fully():
    truth = asked(sums(), images=4)
    exact = contributions(truth)
    assert sensitivity_n(exact, truth, seed=0) == pytest.approx([1] * 4, abs=1e-6)
    assert sensitivity_n(-exact, truth, seed=0) == pytest.approx([-1] * 4, abs=1e-6)
    for value in (0.0, 0.7):
        assert sensitivity_n(np.full(exact.shape, value), truth, seed=0).tolist() == [0] * 4


def test_there_is_no_score_where_the_logit_never_changes():
    truth = asked(images=3)
    truth.baselines[1] = truth.images[1]
    assert np.isnan(sensitivity_n(RNG.normal(size=truth.images.shape), truth, seed=0)).tolist() == [False, True, False]


def test_neighbours_change_nothing():
    truth = asked(small_cnn(), 6, dtype=torch.float64)
    maps = RNG.normal(size=(6, 1, 8, 8))
    whole = sensitivity_n(maps, truth, seed=0)
    assert sensitivity_n(maps[4:5], truth[4:5], seed=0) == pytest.approx(whole[4:5], abs=1e-12)
    again = sensitivity_max(gradient(truth), truth, seed=0, attribute=gradient)
    alone = sensitivity_max(gradient(truth[4:5]), truth[4:5], seed=0, attribute=gradient)
    assert alone == pytest.approx(again[4:5], abs=1e-12)


def test_sets_have_their_sizes():
    found = _sets(0, [0.0, 0.5, 1.0], 4, (3, 5))
    assert found.sum((2, 3)).tolist() == [[1] * 4, [8] * 4, [15] * 4]


def test_no_share_is_an_error():
    with pytest.raises(tmi.InputError, match="shares"):
        sensitivity_n(np.ones((1, 1, 8, 8)), asked(images=1), seed=0, shares=[])
