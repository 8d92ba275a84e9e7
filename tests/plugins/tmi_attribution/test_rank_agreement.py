"""Rankings of methods: τ-b against SciPy, intervals, and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, t

from tmi import InputError
from tmi.statistics import corrected, holm
from tmi_attribution.rank_agreement import kendall, tau_b

pytestmark = pytest.mark.filterwarnings("error")


def scores(means, images=40, noise=0.0, seed=0):
    """A score an image whose means are exactly those given."""
    drawn = np.random.default_rng(seed).normal(size=(len(means), images)) * noise
    return np.array(means, float)[:, None] + drawn - drawn.mean(1, keepdims=True)


rankings = st.integers(3, 12).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 5), min_size=n, max_size=n) for _ in range(2)))
)


@given(rankings)
def test_tau_b_is_scipys_with_ties_and_without(pair):
    one, other = (np.array(values, float) for values in pair)
    expected = kendalltau(one, other).statistic  # NaN where one of them is constant
    assert float(tau_b(one, other)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_many_rankings_at_once_are_each_alone():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (2, 9, 5, 3)).astype(float)
    one[2, 1, 1] = np.nan
    found = tau_b(one, other)
    for place in np.ndindex(5, 3):
        x, y = one[(slice(None), *place)], other[(slice(None), *place)]
        known = np.isfinite(x)
        assert found[place] == pytest.approx(kendalltau(x[known], y[known]).statistic)


SEEDS = np.repeat(np.arange(5), 8)


def noisy(means, sd=0.0, of_method=0.0, seed=0):
    """Scores of 40 images, 8 from each of five seeds: noise between seeds is drawn for each method."""
    rng = np.random.default_rng(seed)
    base = np.array(means, float)[:, None] + of_method * rng.normal(size=(len(means), 1))
    return (base + sd * rng.normal(size=(len(means), 5)))[:, SEEDS]


def test_the_same_ranking_is_1_the_reversed_one_minus_1():
    means = np.linspace(0, 1, 12)
    same = kendall(noisy(means), noisy(np.exp(means)), SEEDS)
    assert (same.value, same.high, same.n, same.units) == (1, 1, 12, 5)
    assert same.low > 0
    assert same.shown
    assert kendall(noisy(means), noisy(means), SEEDS, better="lower").value == -1
    assert kendall(noisy(means), noisy(means), SEEDS, better="lower", truth_better="lower").value == 1


def test_three_methods_in_the_same_order_show_nothing():
    """One of three orders in six agrees or is reversed: the spread over the seeds, 0 here, says nothing about other methods."""
    found = kendall(noisy([1, 2, 3]), noisy([1, 2, 3]), SEEDS)
    assert found.value == 1
    assert not found.shown
    assert found.low < 0


def test_one_seed_has_no_interval():
    found = kendall(scores([1, 2, 3, 4]), scores([1, 2, 3, 4]), np.zeros(40))
    assert (found.value, found.low, found.high, found.p, found.units) == (1, -1, 1, 1, 1)
    assert not found.shown


def test_by_hand():
    # Pairs (1,2) (1,3) (1,4) (2,3) (2,4) (3,4): five agree, one does not.
    assert kendall(scores([1, 2, 3, 4]), scores([1, 3, 2, 4]), np.zeros(40)).value == pytest.approx(4 / 6)
    # One pair is tied in one of the rankings: 5 / sqrt(5 · 6).
    assert kendall(scores([1, 2, 2, 4]), scores([1, 2, 3, 4]), np.zeros(40)).value == pytest.approx(5 / np.sqrt(30))
    # The mean of the seeds: 1 in the first, 4/6 in the second.
    x, y = np.array([[1.0, 1], [2, 2], [3, 3], [4, 4]]), np.array([[1.0, 1], [2, 3], [3, 2], [4, 4]])
    found = kendall(x, y, np.array([0, 1]))
    assert found.value == pytest.approx((1 + 4 / 6) / 2)


def test_the_interval_by_an_independent_formula():
    x, y = noisy(np.linspace(0, 1, 10), 0.2, seed=1), noisy(np.linspace(0, 1, 10), 0.2, seed=2)
    found = kendall(x, y, SEEDS)
    means = [[[values[i, s == SEEDS].mean() for s in range(5)] for i in range(10)] for values in (x, y)]
    taus = np.array([kendalltau(*(np.array(of)[:, s] for of in means)).statistic for s in range(5)])
    without = []
    for left in range(10):
        rest = [i for i in range(10) if i != left]
        without.append(np.mean([kendalltau(*(np.array(of)[rest, s] for of in means)).statistic for s in range(5)]))
    methods = max(0.9 * np.sum((without - np.mean(without)) ** 2), 2 * 25 / (9 * 10 * 9))
    seeds = np.var(taus, ddof=1) / 5
    freedom = (methods + seeds) ** 2 / (methods**2 / 9 + seeds**2 / 4)
    half = t.ppf(0.975, freedom) * np.sqrt(methods + seeds)
    assert found.value == pytest.approx(taus.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, min(1, found.value + half)))


@pytest.mark.slow
def test_rankings_that_know_nothing_of_each_other_are_shown_to_agree_in_one_of_twenty():
    """Methods whose ranking is the same in every seed, and unrelated to the other: seeds alone would show nearly all."""
    found = [kendall(noisy(np.zeros(15), 0.1, 1, seed), noisy(np.zeros(15), 0.1, 1, seed + 999), SEEDS) for seed in range(300)]
    assert np.mean([each.shown for each in found]) <= 0.07
    assert abs(np.mean([each.value for each in found])) < 0.05


def test_the_correction_widens_the_interval_until_it_excludes_0_exactly_where_p_is_below_5_percent():
    found = [
        kendall(noisy(np.linspace(0, 1, 12), sd, seed=1), noisy(np.linspace(0, 1, 12), sd, seed=2), SEEDS)
        for sd in (0.1, 0.4, 0.7, 2)
    ]
    after = corrected(found)
    for one, other in zip(found, after, strict=True):
        assert other.p >= one.p
        assert other.low <= one.low
        assert other.shown == (other.low > 0 or other.high < 0)
    assert np.array([each.p for each in after]) == pytest.approx(holm([each.p for each in found]))
    assert corrected([]) == []


def test_images_and_methods_without_a_value_are_left_out():
    truth = noisy([1, 2, 3, 4])
    free = truth.copy()
    free[:, 1::8] = np.nan  # a measure that was asked on other images
    assert kendall(free, truth, SEEDS).value == 1
    free[:, SEEDS == 4] = np.nan  # or is defined on too few images of a seed
    assert kendall(free, truth, SEEDS).units == 4
    free[3] = np.nan
    assert kendall(free, truth, SEEDS).n == 3
    free[2] = np.nan
    assert kendall(free, truth, SEEDS) is None


def test_no_value_where_there_is_no_ranking():
    assert kendall(noisy([1, 2]), noisy([1, 2]), SEEDS) is None
    assert kendall(noisy([2, 2, 2]), noisy([1, 2, 3]), SEEDS) is None


def test_equal_means_are_ties_though_sums_round():
    x = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.3, 0.1], [9, 9, 9]])
    assert kendall(x, scores([1, 2, 3, 4], images=3), np.zeros(3)).value == pytest.approx(3 / np.sqrt(3 * 6))


def test_errors_say_what_is_wrong():
    with pytest.raises(InputError, match=r"like truth_free, \(3, 5\), and a seed for each image; got \(3, 4\)"):
        kendall(np.zeros((3, 5)), np.zeros((3, 4)), np.zeros(5))
    with pytest.raises(InputError, match='"higher" or "lower", got \'up\''):
        kendall(np.zeros((3, 5)), np.zeros((3, 5)), np.zeros(5), better="up")
