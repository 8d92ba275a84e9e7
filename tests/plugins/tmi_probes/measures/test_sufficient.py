"""Smallest sets, judged by trying all of them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tmi_probes.measures.sufficient import breaks_margin, first_prefix, keeps_margins, keeps_value

TERMS = st.integers(-8, 8).map(float)


def smallest(n, holds):
    """The size of the smallest set of n that a condition holds for, by trying all; None if for none."""
    return next((size for size in range(n + 1) if any(holds(list(some)) for some in combinations(range(n), size))), None)


@given(hnp.arrays(float, st.integers(0, 7), elements=TERMS), st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_no_smaller_set_keeps_a_logit(terms, share):
    chosen = keeps_value(terms, share)
    if terms.sum() <= 0:
        assert len(chosen) == 0
        return
    assert terms[chosen].sum() >= share * terms.sum() - 1e-4
    assert len(set(chosen)) == len(chosen) == smallest(len(terms), lambda some: terms[some].sum() >= share * terms.sum() - 1e-9)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=TERMS), st.data())
def test_no_smaller_set_keeps_a_prediction(gains, data):
    start = data.draw(hnp.arrays(float, len(gains), elements=st.integers(-6, 3).map(float)))
    start = np.maximum(start, 0.5 - gains.sum(1))  # all together suffice
    chosen, proven = keeps_margins(start, gains)
    assert (start + gains[:, chosen].sum(1) > 0).all()
    assert proven
    assert len(chosen) == smallest(gains.shape[1], lambda some: (start + gains[:, some].sum(1) > 0).all())


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=TERMS), st.data())
def test_no_smaller_set_breaks_a_prediction(gains, data):
    margins = data.draw(hnp.arrays(float, len(gains), elements=st.integers(1, 12).map(float)))
    chosen = breaks_margin(margins, gains)
    size = smallest(gains.shape[1], lambda some: (margins - gains[:, some].sum(1) <= 0).any())
    if chosen is None:
        assert size is None
    else:
        assert (margins - gains[:, chosen].sum(1) <= 1e-9).any()
        assert len(chosen) == size


def test_where_the_greedy_set_is_not_smallest():
    # Neuron 0 helps most at first, but 1 and 2 alone do it.
    gains = np.array([[4.0, 5, 0], [4, 0, 5]])
    chosen, proven = keeps_margins(np.array([-4.5, -4.5]), gains)
    assert proven
    assert sorted(chosen) == [1, 2]


def test_without_rivals_or_neurons():
    assert keeps_margins(np.empty(0), np.empty((0, 4)))[0].size == 0
    assert keeps_margins(np.ones(2), np.empty((2, 0))) == (pytest.approx(np.empty(0)), True)
    assert breaks_margin(np.ones(2), np.empty((2, 0))) is None
    assert breaks_margin(np.empty(0), np.empty((0, 3))) is None
    assert keeps_value(np.empty(0), 1.0).size == 0


def test_the_shortest_beginning():
    order = np.array([3, 1, 2])
    assert first_prefix(order, lambda n: n >= 2).tolist() == [3, 1]
    assert first_prefix(order, lambda n: n >= 0).tolist() == []
    assert first_prefix(order, lambda n: n > 5) is None
