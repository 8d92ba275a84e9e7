import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity

from tests.plugins.tmi_probes.toys import small_cnn
from tmi_attribution.measures import replacing
from tmi_attribution.measures.infidelity import _squares, infidelity
from tmi_attribution.measures.replacing import logits_without

from .cases import asked, colour, contributions, gradient, sums

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("data", [None, "colour"])
def test_it_is_captums_normalised_infidelity_as_a_share(data):
    truth = asked(images=4, dtype=torch.float64, data=data and colour())
    maps = RNG.normal(size=truth.images.shape)
    squares = torch.from_numpy(_squares(3, 12, 0.3, (8, 8))).double()[:, None]

    def perturb(images, baselines):
        removed = squares.repeat(len(images) // len(squares), images.shape[1], 1, 1)
        return removed, images - removed * (images - baselines)

    for i in range(4):
        x, b, target = truth.images[i : i + 1], truth.baselines[i : i + 1], int(truth.targets[i])
        error = captum_infidelity(
            truth.module, perturb, x, torch.from_numpy(maps[i : i + 1]), b, target=target, n_perturb_samples=12, normalize=True
        )
        changes = truth.module(x)[0, target] - truth.module(x - squares * (x - b))[:, target]
        expected = float(error[0] / changes.square().mean())
        predicted = torch.from_numpy(maps[i]).mul(squares).sum((1, 2, 3))
        if float(predicted @ changes) <= 0:  # Captum's factor may be negative
            expected = 1
        assert infidelity(maps, truth, seed=3, squares=12, side=0.3)[i] == pytest.approx(expected, abs=1e-9)


def test_of_a_linear_network_the_contributions_foretell_everything():
    truth = asked(sums(), images=5)
    exact = contributions(truth)
    assert infidelity(exact, truth, seed=0) == pytest.approx([0] * 5, abs=1e-9)
    assert infidelity(1e-300 * exact, truth, seed=0) == pytest.approx([0] * 5, abs=1e-9)
    assert (infidelity(RNG.normal(size=exact.shape), truth, seed=0) > 0.3).all()


def test_a_negated_map_does_not_score_like_the_map():
    """The old factor could be negative: a map and its negation had the same score."""
    truth = asked(images=5, dtype=torch.float64)
    maps = gradient(truth) * (truth.images - truth.baselines).numpy()
    found, negated = (infidelity(sign * maps, truth, seed=0) for sign in (1, -1))
    regions = _squares(0, 40, 0.25, (8, 8))
    predicted = np.einsum("rij,ncij->rn", regions, maps)
    changes = truth.logit(truth.images) - logits_without(truth, regions)
    factor = (predicted * changes).sum(0) / np.square(predicted).sum(0)
    old = np.square(factor * predicted - changes).mean(0) / np.square(changes).mean(0)
    best = [
        np.square(max(f, 0) * p - c).mean() / np.square(c).mean() for f, p, c in zip(factor, predicted.T, changes.T, strict=True)
    ]
    assert found == pytest.approx(best, abs=1e-9)
    assert (factor > 0).sum() >= 4
    assert found[factor > 0] == pytest.approx(old[factor > 0], abs=1e-9)
    assert negated[factor > 0].tolist() == [1] * (factor > 0).sum()


@pytest.mark.parametrize("settings", [{"squares": 1}, {"side": 1.0}])
def test_a_single_change_is_predicted_by_any_map_up_to_a_factor(settings):
    truth = asked(images=3)
    assert np.isnan(infidelity(RNG.normal(size=truth.images.shape), truth, seed=0, **settings)).all()


def test_there_is_no_score_where_no_removal_changes_the_logit():
    truth = asked(images=3)
    truth.baselines[1] = truth.images[1]
    assert np.isnan(infidelity(np.ones(truth.images.shape), truth, seed=0)).tolist() == [False, True, False]


def test_squares_lie_in_the_image_wherever_it_ends():
    for shape, side, length in (((8, 5), 0.25, 1), ((3, 9), 1.0, 3), ((1, 1), 0.0, 1)):
        found = _squares(0, 30, side, shape)
        assert found.sum((1, 2)).tolist() == [length**2] * 30


def test_parts_and_neighbours_change_nothing(monkeypatch):
    module, maps = small_cnn(), RNG.normal(size=(6, 1, 8, 8))
    whole = infidelity(maps, asked(module, 6, dtype=torch.float64), seed=0)
    monkeypatch.setattr(replacing, "ELEMENTS", 900)
    truth = asked(module, 6, dtype=torch.float64)
    assert infidelity(maps, truth, seed=0) == pytest.approx(whole, abs=1e-12)
    assert infidelity(maps[4:5], truth[4:5], seed=0) == pytest.approx(whole[4:5], abs=1e-12)
    assert ((whole >= 0) & (whole <= 1)).all()
