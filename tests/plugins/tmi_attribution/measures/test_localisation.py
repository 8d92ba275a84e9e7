from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from tmi.probing.attribution import measure_info
from tmi_attribution.measures import localisation
from tmi_attribution.measures.localisation import auc, average_precision, mass, pointing_game, precision, top_k

from .cases import maps_and_masks, masked

ALL = [mass, precision, pointing_game, top_k, auc, average_precision]
MASK = np.array([[[True, True, False], [False, False, False]]])


def one(*values):
    return np.array(values, float).reshape(1, 2, 3)


def strongest(values, truth, k):
    """Expected share of the k first that are true, the equal ones in random order."""
    limit = sorted(values, reverse=True)[k - 1]
    above, equal = truth[values > limit], truth[values == limit]
    return (above.sum() + (k - len(above)) * equal.mean()) / k


def over_orders(values, truth):
    """Average precision as the mean over every order that the values allow."""
    orders = [order for order in permutations(range(len(values))) if (np.diff(values[list(order)]) <= 0).all()]
    return np.mean(
        [np.mean([truth[list(order[: i + 1])].mean() for i in np.flatnonzero(truth[list(order)])]) for order in orders]
    )


@given(maps_and_masks())
def test_against_plain_formulas(case):
    maps, masks = case
    truth = masked(masks)
    found = {measure.__name__: measure(maps, truth) for measure in ALL}
    for i, (a, g) in enumerate(zip(maps.reshape(len(maps), -1), masks.reshape(len(maps), -1), strict=True)):
        if not g.any() or g.all():  # every map would score the same
            assert all(np.isnan(scores[i]) for scores in found.values())
            continue
        assert found["mass"][i] == pytest.approx(a[g].sum() / a.sum() if a.any() else g.mean(), abs=1e-12)
        assert found["precision"][i] == pytest.approx(strongest(a, g, g.sum()), abs=1e-12)
        assert found["pointing_game"][i] == pytest.approx(g[a == a.max()].mean(), abs=1e-12)
        assert found["top_k"][i] == pytest.approx(strongest(a, g, max(1, round(0.05 * len(a)))), abs=1e-12)
        assert found["auc"][i] == pytest.approx(roc_auc_score(g, a), abs=1e-12)
        if len(set(a)) == len(a):
            assert found["average_precision"][i] == pytest.approx(average_precision_score(g, a), abs=1e-12)


@given(
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6).filter(lambda truth: any(truth) and not all(truth)),
)
def test_average_precision_of_ties_is_the_mean_over_their_orders(values, truth):
    maps, masks = one(*values), np.array(truth).reshape(1, 2, 3)
    assert average_precision(maps, masked(masks)) == pytest.approx([over_orders(np.array(values), np.array(truth))], abs=1e-12)


@given(maps_and_masks())
def test_a_constant_map_scores_chance_and_so_does_one_of_zeros(case):
    masks = case[1]
    for measure in ALL:
        chance = measure_info(measure).chance(masked(masks))
        for value in (0.0, 0.3):
            found = measure(np.full(masks.shape, value), masked(masks))
            assert found == pytest.approx(chance, abs=1e-12, nan_ok=True), measure


def test_chance_is_what_random_maps_score():
    rng = np.random.default_rng(0)
    truth = masked(np.repeat(MASK, 20_000, axis=0))
    maps = rng.random(truth.masks.shape)
    for measure in ALL:
        scores = measure(maps, truth)
        assert scores.mean() == pytest.approx(measure_info(measure).chance(truth)[0], abs=4 * scores.std() / np.sqrt(20_000))


@given(maps_and_masks())
def test_the_mask_itself_scores_best(case):
    masks = case[1][case[1].any((1, 2)) & ~case[1].all((1, 2))]
    if not len(masks):
        return
    maps = masks.astype(float)
    for measure in (mass, precision, pointing_game, average_precision, auc):
        assert measure(maps, masked(masks)).tolist() == pytest.approx([1] * len(masks), abs=1e-12)
    k = max(1, round(0.05 * masks[0].size))
    assert top_k(maps, masked(masks)) == pytest.approx(np.minimum(1, masks.sum((1, 2)) / k))


@given(maps_and_masks(st.floats(0, 1e308)))
def test_scores_are_shares_whatever_the_scale(case):
    for measure in ALL:
        found = measure(case[0], masked(case[1]))
        assert ((found >= 0) & (found <= 1 + 1e-12) | np.isnan(found)).all()


def test_tiny_and_huge_attributions_count():
    assert mass(one(1e-320, 0, 0, 0, 0, 0), masked(MASK)).tolist() == [1]
    assert mass(one(*[1.7e308] * 6), masked(MASK)) == pytest.approx([1 / 3])
    assert auc(one(1e-320, 5e-324, 0, 0, 0, 0), masked(MASK)).tolist() == [1]


def test_the_share_of_top_k():
    values = one(6, 1, 5, 4, 3, 2)
    assert [float(top_k(values, masked(MASK), share=share)[0]) for share in (0, 1 / 6, 0.5, 1)] == pytest.approx(
        [1, 1, 1 / 3, 1 / 3]
    )


def test_neurons_are_scored_like_pixels():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((3, 4, 6)), rng.random((3, 4, 6)) < 0.3
    for measure in ALL:
        flat = measure(maps.reshape(3, -1), masked(masks.reshape(3, -1)))
        assert flat.tolist() == measure(maps, masked(masks)).tolist()


def test_parts_and_neighbours_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    maps, masks = rng.integers(0, 9, (7, 5, 5)) / 8, rng.random((7, 5, 5)) < 0.3
    for measure in ALL:
        whole = measure(maps, masked(masks))
        alone = [measure(maps[[i]], masked(masks[[i]]))[0] for i in range(7)]
        with monkeypatch.context() as patch:
            patch.setattr(localisation, "_ELEMENTS", 50)
            assert measure(maps, masked(masks)) == pytest.approx(whole, nan_ok=True)
        assert alone == pytest.approx(whole, nan_ok=True)
