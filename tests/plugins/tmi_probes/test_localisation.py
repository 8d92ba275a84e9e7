from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_probes.attribution.localisation import chance, mass, precision, skill

MASK = np.zeros((1, 2, 3), bool)
MASK[0, 0, :2] = True


def one(*values):
    return np.array(values, float).reshape(1, 2, 3)


def test_by_hand():
    strong = one(3, 1, 2, 0, 0, 0)
    assert mass(strong, MASK) == pytest.approx([4 / 6])
    assert precision(strong, MASK).tolist() == [0.5]
    assert precision(one(5, 0, 0, 0, 0, 0), MASK) == pytest.approx([(1 + 1 / 5) / 2])  # five equal pixels for one rank


def test_constant_scores_chance_the_mask_scores_one_and_nothing_scores_zero():
    assert mass(one(*[0.3] * 6), MASK) == pytest.approx(chance(MASK))
    assert precision(one(*[0.3] * 6), MASK) == pytest.approx(chance(MASK))
    assert mass(MASK.astype(float), MASK) == precision(MASK.astype(float), MASK) == [1]
    assert mass(one(*[0] * 6), MASK) == precision(one(*[0] * 6), MASK) == [0]
    assert chance(MASK) == pytest.approx([1 / 3])


@given(st.lists(st.integers(0, 2), min_size=6, max_size=6).filter(any))
def test_ties_count_as_the_mean_over_their_orders(values):
    truth = MASK.ravel()
    scores = [truth[sorted(order, key=lambda i: -values[i])[:2]].mean() for order in map(list, permutations(range(6)))]
    assert precision(one(*values), MASK) == pytest.approx([np.mean(scores)], abs=1e-12)


@given(st.lists(st.floats(0, 1e300), min_size=6, max_size=6))
def test_scores_are_shares(values):
    assert 0 <= mass(one(*values), MASK)[0] <= 1 + 1e-12
    assert 0 <= precision(one(*values), MASK)[0] <= 1


def test_tiny_attributions_count():
    assert mass(one(1e-320, 0, 0, 0, 0, 0), MASK).tolist() == [1]


def test_skill():
    assert [skill(score, 0.25, 1) for score in (0.25, 1, 0)] == pytest.approx([0, 1, -1 / 3])
