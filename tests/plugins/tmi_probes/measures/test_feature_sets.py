from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi_probes.measures.feature_sets import FilterTerms, NeuronTerms, jaccard, right, small_set


def problem(seed, images, units, classes):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(-2, 4, (images, units)) * 1.0,
        rng.integers(-2, 3, (classes, units)) * 1.0,
        rng.integers(-2, 3, classes) * 1.0,
    )


def suffices(values, weight, base, chosen, share):
    logits = np.array([base + sum((row[u] * weight[:, u] for u in chosen), np.zeros(len(base))) for row in values])
    return np.mean([row[0] > max(row[1:]) for row in logits]) >= share - 1e-12


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.integers(2, 4), st.sampled_from([0.5, 0.8, 1.0]))
def test_a_set_suffices_and_no_unit_of_it_can_be_left_out(seed, images, units, classes, share):
    values, weight, base = problem(seed, images, units, classes)
    found = small_set(NeuronTerms(values, weight), base, 0, share)
    sets = [chosen for size in range(units + 1) for chosen in combinations(range(units), size)]
    enough = [chosen for chosen in sets if suffices(values, weight, base, chosen, share)]
    if found is None:
        assert not suffices(values, weight, base, range(units), share)
        return
    assert tuple(sorted(found)) in enough
    assert len(found) >= len(enough[0])
    for unit in found:
        assert not suffices(values, weight, base, [u for u in found if u != unit], share)
    as_filters = small_set(FilterTerms(values[:, :, None] * weight.T), base, 0, share)
    assert as_filters.tolist() == found.tolist()


def test_the_greedy_search_follows_the_rival_that_is_ahead():
    # Unit 0 gains most against class 1, which is ahead of class 0 by less than class 2 is; unit 1 is needed against class 2.
    weight = np.array([[0.0, 0, 0], [-5, 0, -1], [0, -4, -3]])
    found = small_set(NeuronTerms(np.ones((1, 3)), weight), np.array([0.0, 0.5, 3]), 0, 1.0)
    assert sorted(found) == [0, 1]


def test_many_units_are_taken_at_a_time_and_the_needless_ones_removed():
    rng = np.random.default_rng(0)
    values, weight = rng.random((30, 400)), rng.normal(size=(3, 400)) + np.array([[0.3], [0], [0]])
    base = np.array([-100.0, 0, 0])
    found = small_set(NeuronTerms(values, weight), base, 0, 0.9)
    terms = NeuronTerms(values, weight)
    assert right(base + terms.of(found), 0).mean() >= 0.9
    for unit in found:
        assert right(base + terms.of(found[found != unit]), 0).mean() < 0.9
    assert 20 < len(found) < 400


def test_overlap_by_hand_and_its_chance_by_drawing():
    sets = [np.array([0, 1, 2]), np.array([2, 3]), np.array([], np.int64), np.array([4])]
    overlap, _ = jaccard(sets, 40)
    assert overlap[0, 1] == pytest.approx(1 / 4)
    assert overlap[0, 0] == 1
    assert overlap[0, 3] == overlap[0, 2] == 0
    assert np.isnan(overlap[2, 2])
    rng = np.random.default_rng(0)
    drawn = [[set(rng.permutation(40)[:size].tolist()) for size in (12, 20)] for _ in range(2000)]
    expected = jaccard([np.arange(12), np.arange(20)], 40)[1][0, 1]
    assert np.mean([len(a & b) / len(a | b) for a, b in drawn]) == pytest.approx(expected, abs=0.01)
