"""Against SciPy's t-interval, a bootstrap written out, and simulated data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.coverage import covered, nested
from tmi import InputError, statistics

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=2, max_size=8)


@given(VALUES)
def test_one_value_a_seed_gives_the_t_interval(values):
    found = statistics.over_seeds(values)
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    assert (found.n, found.units, found.unit) == (len(values), len(values), "seeds")
    if len(set(values)) == 1:
        unlike = 0.0 if len(values) >= 5 else 0.5 ** (len(values) - 1)  # the sign test's p-value
        assert (found.low, found.high, found.p) == (values[0], values[0], 1.0 if values[0] == 0 else unlike)
        return
    wanted = scipy.stats.ttest_1samp(values, 0)
    low, high = wanted.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert found.p == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-12)


@given(VALUES, st.sampled_from([0.0, 1.0, -3.0]))
def test_a_difference_from_the_null_is_shown_exactly_where_the_interval_excludes_it(values, null):
    found = statistics.over_seeds(values, null=null)
    assert found.shown == (not found.low <= null <= found.high and (len(set(values)) > 1 or len(values) >= 5))
    assert found.direction == ("not shown to differ" if not found.shown else "higher" if found.value > null else "lower")


def test_few_equal_values_show_nothing():
    """Accuracies on 60 images agree by chance: two equal differences had a p-value of 0, which no correction could raise."""
    assert not statistics.difference({0: 59 / 60, 1: 59 / 60}, {0: 1.0, 1: 1.0}).shown
    assert statistics.over_seeds([0.5] * 4).p == 0.125
    five = statistics.over_seeds([0.5] * 5)
    assert (five.p, five.low, five.high, five.direction) == (0, 0.5, 0.5, "higher")


def test_rounding_is_no_difference():
    first = np.array([0.1, 0.3, 0.7, 1.1, 1.3])
    found = statistics.difference(first * 3 / 3, first + 1e-16)
    assert (found.value, found.p, found.direction) == (0, 1, "not shown to differ")
    assert statistics.over_seeds(0.3 + 1e-16 * np.arange(5), null=0.3).p == 1


def test_with_several_seeds_images_are_not_independent():
    """The old intervals drew images: six trainings that differ by .1 looked certain to .004."""
    values, seeds, tiles = nested(np.random.default_rng(0), (6, 10, 50), (0.1, 0.0, 0.01))
    wrong = statistics.estimate(values)
    right = statistics.estimate(values, seeds=seeds, tiles=tiles)
    assert right.unit == "seeds"
    assert wrong.unit == "images"
    assert right.high - right.low > 10 * (wrong.high - wrong.low)
    means = [values[seeds == seed].mean() for seed in range(6)]
    assert (right.low, right.high) == pytest.approx(scipy.stats.ttest_1samp(means, 0).confidence_interval(0.95))


def test_the_outermost_level_with_several_units_counts():
    values, seeds, tiles = nested(np.random.default_rng(0), (1, 4, 5), (1, 1, 1))
    assert (statistics.estimate(values, seeds=seeds, tiles=tiles).unit, statistics.estimate(values, tiles=tiles).units) == (
        "tiles",
        4,
    )
    assert statistics.estimate(values[:5], seeds=seeds[:5], tiles=tiles[:5]).unit == "images"


def test_the_closed_form_is_the_bootstrap_of_a_mean():
    """With units of different sizes: the spread of many draws, written out."""
    rng = np.random.default_rng(1)
    seeds = np.repeat(np.arange(6), [1, 2, 5, 9, 3, 4])
    values = rng.normal(seeds, 1)
    closed = statistics.estimate(values, seeds=seeds)
    drawn = statistics.estimate(values, seeds=seeds, statistic=np.mean, resamples=20_000)
    # The mean over drawn units of different sizes is a ratio: its closed form is correct to first order.
    assert closed.high - closed.low == pytest.approx(drawn.high - drawn.low, rel=0.1)
    equal = rng.normal(np.repeat(np.arange(6), 4), 1)
    seeds = np.repeat(np.arange(6), 4)
    closed, drawn = (statistics.estimate(equal, seeds=seeds, statistic=s, resamples=20_000) for s in (None, np.mean))
    assert closed.high - closed.low == pytest.approx(drawn.high - drawn.low, rel=0.02)


@pytest.mark.parametrize("sizes", [(200, 150, 20, 20, 20), (200, 20, 20, 20, 20), (300, 2), (5, 3, 2, 3, 1, 4, 2, 3)])
def test_units_of_different_sizes_do_not_narrow_the_interval(sizes):
    """With as many degrees of freedom as units less one, the first two held the truth in 81 and 70 %."""
    rng = np.random.default_rng(3)
    seeds = np.repeat(np.arange(len(sizes)), sizes)
    held = 0
    for _ in range(300):
        found = statistics.estimate(rng.normal(size=len(sizes))[seeds] + rng.normal(size=len(seeds)), seeds=seeds)
        held += found.low <= 0 <= found.high
    assert held >= 0.91 * 300


def test_a_statistic_of_several_values_is_drawn_by_units():
    rng = np.random.default_rng(2)
    tiles = np.repeat(np.arange(8), 5)
    over, under = rng.normal(2 + tiles / 10, 0.1), rng.normal(4, 0.1, 40)
    found = statistics.estimate((over, under), tiles=tiles, statistic=lambda a, b: a.mean() / b.mean())
    draws = []
    for chosen in np.random.default_rng(5).integers(0, 8, (4000, 8)):
        rows = np.concatenate([np.flatnonzero(tiles == tile) for tile in chosen])
        draws.append(over[rows].mean() / under[rows].mean())
    half = scipy.stats.t.ppf(0.975, 7) * np.std(draws, ddof=1) * np.sqrt(8 / 7)
    assert found.value == pytest.approx(over.mean() / under.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=0.01)


def test_values_without_a_number_are_left_out_and_counted():
    values = np.array([1.0, np.nan, 2.0, 4.0])
    found = statistics.estimate(values, seeds=[0, 0, 1, 2])
    assert (found.n, found.units, found.value) == (3, 3, pytest.approx(7 / 3))


def test_the_interval_ends_at_the_range_of_the_statistic():
    found = statistics.over_seeds([0.9, 1.0, 0.5], low=0, high=1)
    assert found.high == 1
    assert statistics.corrected([found, found])[0].high == 1


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_scipys_definition_written_out(p_values):
    corrected = statistics.holm(p_values)
    for i, p in enumerate(p_values):
        order = sorted(range(len(p_values)), key=lambda j: (p_values[j], j))
        rank = order.index(i)
        wanted = max(p_values[j] * (len(p_values) - r) for r, j in enumerate(order[: rank + 1]))
        assert corrected[i] == pytest.approx(min(wanted, 1))
        assert corrected[i] >= p


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_corrected_intervals_agree_with_corrected_p_values(samples):
    estimates = [statistics.over_seeds(values) for values in samples]
    found = statistics.corrected(estimates)
    assert [each.p for each in found] == pytest.approx(list(statistics.holm([each.p for each in estimates])), rel=1e-6)
    factors = statistics.holm_factors([each.p for each in estimates])
    for before, after, factor in zip(estimates, found, factors, strict=True):
        assert 1 <= factor <= len(estimates) or before.p < 1e-300
        if before.low < before.high:
            assert after.shown == (not after.low <= 0 <= after.high)
            assert after == before.widened(factor)
        assert after.low <= before.low + 1e-9 * abs(before.low)
        assert after.high >= before.high - 1e-9 * abs(before.high)


def test_one_comparison_needs_no_correction():
    (found,) = statistics.corrected([statistics.over_seeds([1.0, 2.0, 2.5])])
    assert found == statistics.over_seeds([1.0, 2.0, 2.5])


def test_differences_are_paired_by_seed():
    first, second = {0: 1.0, 1: 5.0, 2: 9.0, 7: 3.0}, {2: 8.5, 1: 4.4, 0: 0.5, 9: 2.0}
    found = statistics.difference(first, second)
    assert (found.n, found.value) == (3, pytest.approx((0.5 + 0.6 + 0.5) / 3))
    assert found.shown
    assert not statistics.difference(list(first.values()), [0.5, 4.4, 9.1, 9.0]).shown


def test_chance_is_a_distribution():
    found = statistics.of_chance(np.arange(101) / 100)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
    assert found.draws == 101


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.over_seeds({3: 0.5}), "values: an interval needs at least two seeds; got 1"),
        (lambda: statistics.estimate([1.0, 2.0], seeds=[0, 0]), "values: an interval needs at least two seeds; got 1"),
        (lambda: statistics.over_seeds([np.nan, 1.0]), "values: an interval needs at least two seeds; got 1"),
        (lambda: statistics.estimate([]), "values: an interval needs at least two images; got 0"),
        (lambda: statistics.estimate([1.0, np.inf]), "values: some are infinite, so that they have no interval"),
        (lambda: statistics.estimate([1.0, 2.0], seeds=[1]), "values: expected one value, seed and tile for each image; got"),
        (lambda: statistics.difference([1.0], [1.0, 2.0]), r"second: expected as many values as first, \(1,\); got \(2,\)"),
        (lambda: statistics.difference({0: 1.0, 1: 2.0}, {2: 1.0}), "values: an interval needs at least two seeds; got 0"),
        (lambda: statistics.of_chance([0.5] * 19), "chance: 19 draws are too few for a distribution; draw at least 20"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InputError, match=f"^{message}") as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [(1, 1, 1), (0, 1, 1), (1, 0.3, 0.3), (0, 0, 1)])
def test_the_intervals_hold_the_truth_in_93_to_97_percent(spread):
    share = covered(spread, size=(5, 10, 20), datasets=2000)["tmi.statistics"]
    assert 0.93 <= share <= 0.97
    assert covered(spread, size=(5, 10, 20), datasets=300)["images drawn"] < 0.8 or spread == (0, 0, 1)


def test_an_error_that_is_known_gives_the_t_interval_of_its_degrees_of_freedom():
    found = statistics.from_error(0.4, 0.1, freedom=7.5, n=9, units=5, low=-1, high=0.6)
    half = 0.1 * scipy.stats.t.ppf(0.975, 7.5)
    assert (found.low, found.high) == pytest.approx((0.4 - half, 0.6))
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(4, 7.5))
    assert found.widened(3).p == pytest.approx(3 * found.p)
    unknown = statistics.from_error(1.0, np.inf, freedom=1, n=9, units=1, low=-1, high=1)
    assert (unknown.low, unknown.high, unknown.p) == (-1, 1, 1)
