import numpy as np
import pytest
import torch
from captum.attr import Saliency
from captum.metrics import sensitivity_max as captum_sensitivity_max

import tmi
from tests.plugins.tmi_probes.toys import dataset, small_cnn
from tmi_attribution.build_truth import truth_of
from tmi_attribution.exact import integrated_gradients
from tmi_attribution.measures.replacing import logits_without
from tmi_attribution.measures.sensitivity import _sets, _usable_sizes, sensitivity_max, sensitivity_n

from .cases import asked, contributions, gradient, one_pixel, sums

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


def test_more_draws_never_lower_the_bound_and_radii_differ():
    truth = asked(images=3)
    maps = gradient(truth)
    few, many = (sensitivity_max(maps, truth, seed=0, attribute=gradient, radius=0.05, draws=draws) for draws in (2, 12))
    assert (few <= many).all()
    assert (many > sensitivity_max(maps, truth, seed=0, attribute=gradient, radius=1e-4, draws=12)).all()


def test_the_first_images_alone_are_asked_for():
    truth = asked(images=5)
    seen = []

    def attribute(other):
        seen.append(len(other))
        return gradient(other)

    maps = gradient(truth)
    some = sensitivity_max(maps, truth, seed=0, attribute=attribute, images=3)
    assert set(seen) == {3}
    assert np.isnan(some).tolist() == [False] * 3 + [True] * 2
    assert some[:3].tolist() == sensitivity_max(maps[:3], truth[:3], seed=0, attribute=gradient).tolist()


@pytest.mark.parametrize("baseline", ["black", "background"])
def test_sensitivity_n_against_plain_correlation(baseline):
    truth = asked(images=3, baseline=baseline, dtype=torch.float64)
    maps = RNG.normal(size=(3, 1, 8, 8))
    found = sensitivity_n(maps, truth, seed=2, largest=0.5, sizes=2, sets=9)
    for i in range(3):
        x, b, target = truth.images[i], truth.baselines[i], truth.targets[i]
        each = []
        for number, size in enumerate((32, 16)):
            some = _sets(2, number, size, 9, (8, 8))
            said = [maps[i, 0][one].sum() for one in some]
            gone = [torch.where(torch.from_numpy(one), b, x) for one in some]
            seen = [float(truth.module(x[None])[0, target] - truth.module(image[None])[0, target]) for image in gone]
            each.append(np.corrcoef(said, seen)[0, 1])
        assert found[i] == pytest.approx(np.mean(each), abs=1e-9)


@pytest.mark.parametrize("baseline", ["black", "background"])
def test_theorem_1_has_a_score_on_every_image_from_the_usable_sizes(baseline):
    """With the old sizes, 10 % to 90 % of the pixels, every set left the logit 0, and it had no score."""
    data = dataset(40, task=large_tiles())
    truth = truth_of(tmi.build("theorem1", data), data, 30, baseline)
    old = [logits_without(truth, _sets(0, 0, round(share * 256), 20, (16, 16))) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert all((logits == 0).all() for logits in old)
    maps = integrated_gradients(data.task, truth.images, truth.baselines, truth.targets)
    found = sensitivity_n(maps, truth, seed=0)
    assert (found > 0.9).all()
    assert sensitivity_n(-maps, truth, seed=0) == pytest.approx(-found, abs=1e-12)
    regions, changes = _usable_sizes(truth, 0, 0.8, 5, 20)
    for some, seen in zip(regions, changes, strict=True):
        left = logits_without(truth, some)
        at_zero = (left == 0).mean(0)
        assert (at_zero[(seen != 0).any(0)] <= 0.1).all()
    assert ((changes != 0).any(1).sum(0) <= 5).all()


def large_tiles():
    """Tiles that are half of the image, whose ε is that of a few pixels, as in section 6.2."""
    values = [np.linspace(low, 1, 144).reshape(12, 12) for low in (0.5, 0.7)]
    return tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(v, 1.2)]) for n, v in zip("ab", (values[0], values[1][::-1].copy()), strict=True)],
        (1, 16, 16),
    )


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
    assert [_sets(0, number, size, 4, (3, 5)).sum((1, 2)).tolist() for number, size in enumerate((1, 8, 15))] == [
        [1] * 4,
        [8] * 4,
        [15] * 4,
    ]


def test_an_image_of_one_pixel_has_one_set_and_no_score():
    truth = one_pixel()
    assert np.isnan(sensitivity_n(np.ones((2, 1, 1, 1)), truth, seed=0)).all()
