"""Rankings of methods: τ-b against SciPy, intervals, and what is left out."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from tmi import InputError
from tmi_attribution.rank_agreement import kendall, tau_b, true_scores

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


def test_the_same_ranking_is_1_the_reversed_one_minus_1():
    means = [0.1, 0.5, 0.2, 0.9, 0.7]
    same = kendall(scores(means), scores(np.exp(means)))
    assert (same.tau, same.low, same.high, same.methods) == (1, 1, 1, 5)
    assert kendall(scores(means), scores(means), better="lower").tau == -1
    assert kendall(scores(means), scores(means), better="lower", truth_better="lower").tau == 1


def test_by_hand():
    # Pairs (1,2) (1,3) (1,4) (2,3) (2,4) (3,4): five agree, one does not.
    assert kendall(scores([1, 2, 3, 4]), scores([1, 3, 2, 4])).tau == pytest.approx(4 / 6)
    # One pair is tied in one of the rankings: 5 / sqrt(5 · 6).
    assert kendall(scores([1, 2, 2, 4]), scores([1, 2, 3, 4])).tau == pytest.approx(5 / np.sqrt(30))


def test_rankings_that_know_nothing_of_each_other_are_around_0():
    taus = []
    for seed in range(60):
        x, y = np.random.default_rng(seed).random((2, 25, 30))
        taus.append(kendall(x, y, resamples=1).tau)
    assert abs(np.mean(taus)) < 0.06
    assert 0.08 < np.std(taus) < 0.22  # sqrt(2 (2n + 5) / (9 n (n − 1))) = 0.14 for n = 25


def test_the_interval_holds_tau_and_is_narrow_where_the_means_are_far_apart():
    means = np.linspace(0, 1, 10)
    near, far = (kendall(scores(means, noise=s, seed=1), scores(means, noise=s, seed=2)) for s in (0.01, 1))
    assert near.low == near.high == near.tau == 1
    assert far.low <= far.tau <= far.high
    assert far.high - far.low > 0.1
    again = kendall(scores(means, noise=1, seed=1), scores(means, noise=1, seed=2))
    assert again == far  # the seed fixes the draws
    other = kendall(scores(means, noise=1, seed=1), scores(means, noise=1, seed=2), seed=1)
    assert other.tau == far.tau
    assert other != far


def test_images_are_drawn_together():
    """What an image does to both scores stays together: identical scores agree in every resample."""
    x = scores(np.zeros(6), noise=1)
    assert (a := kendall(x, x)) is None or a.tau == 1  # means are 0 up to rounding
    x = np.random.default_rng(3).normal(size=(6, 20))
    found = kendall(x, x)
    assert (found.low, found.high) == (1, 1)


def test_images_and_methods_without_a_value_are_left_out():
    truth = scores([1, 2, 3, 4])
    free = truth.copy()
    free[:, 10:] = np.nan  # a measure that was asked on the first images alone
    assert kendall(free, truth).tau == 1
    free[3] = np.nan
    assert kendall(free, truth).methods == 3
    free[2] = np.nan
    assert kendall(free, truth) is None


def test_no_value_where_there_is_no_ranking():
    assert kendall(scores([1, 2]), scores([1, 2])) is None
    assert kendall(scores([2, 2, 2]), scores([1, 2, 3])) is None
    assert kendall(scores([1, 2, 3], images=1), scores([1, 2, 3], images=1)).tau == 1


def test_equal_means_are_ties_though_sums_round():
    x = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.3, 0.1], [9, 9, 9]])
    assert kendall(x, scores([1, 2, 3, 4], images=3)).tau == pytest.approx(3 / np.sqrt(3 * 6))


def test_true_scores_have_the_mean_skill_as_their_mean():
    rng = np.random.default_rng(0)
    score, chance, oracle = rng.random((4, 30)), rng.random((4, 30)) * 0.3, 0.8 + rng.random((4, 30)) * 0.2
    by_hand = np.mean([(s.mean() - c.mean()) / (o.mean() - c.mean()) for s, c, o in zip(score, chance, oracle, strict=True)])
    assert true_scores(score, chance, oracle).mean() == pytest.approx(by_hand)
    assert true_scores(oracle, chance, oracle) == pytest.approx(np.ones(30))  # for any images
    assert true_scores(chance, chance, oracle) == pytest.approx(np.zeros(30))


def test_true_scores_spread_as_the_skill_does():
    """Their bootstrap interval is that of the ratio of means itself."""
    rng = np.random.default_rng(1)
    score, chance, oracle = rng.random(200), rng.random(200) * 0.3, 0.6 + rng.random(200) * 0.4
    each = true_scores(score[None], chance[None], oracle[None])
    drawn = rng.integers(0, 200, (2000, 200))
    ratio = (score - chance)[drawn].mean(1) / (oracle - chance)[drawn].mean(1)
    assert each[drawn].mean(1).std() == pytest.approx(ratio.std(), rel=0.02)


def test_true_scores_leave_out_what_is_undefined():
    score = np.array([[0.5, np.nan], [1.0, 1.0], [0.3, 0.3]])
    chance, oracle = np.array([[0.0, 0], [0, 0], [0.3, 0.3]]), np.array([[1.0, 1], [1, 1], [0.3, 0.3]])
    # The first measure lacks the second image, the third cannot tell the oracle from chance.
    assert true_scores(score, chance, oracle) == pytest.approx([0.75, 1.0])
    assert np.isnan(true_scores(score[2:], chance[2:], oracle[2:])).all()


def test_errors_say_what_is_wrong():
    with pytest.raises(InputError, match=r"like truth_free, \(3, 5\); got \(3, 4\)"):
        kendall(np.zeros((3, 5)), np.zeros((3, 4)))
    with pytest.raises(InputError, match='"higher" or "lower", got \'up\''):
        kendall(np.zeros((3, 5)), np.zeros((3, 5)), better="up")


def test_it_is_quick_enough_for_a_report():
    """8 measures of 25 methods on 200 images, 1,000 resamples."""
    rng = np.random.default_rng(0)
    truth, free = rng.random((25, 200)), rng.random((8, 25, 200))
    start = time.perf_counter()
    for one in free:
        kendall(one, truth)
    assert time.perf_counter() - start < 4
