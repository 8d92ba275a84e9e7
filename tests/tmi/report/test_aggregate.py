from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tmi.report.aggregate import Group, groups
from tmi.runs.results import Entry, Results


def entry(seed, k=None, network="n", **metrics):
    return Entry("cell", "d", network, "p", seed, {"k": k}, "ok" if metrics else "failed", None, metrics=metrics)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_mean_and_spread(values):
    group = Group("d", "n", "p", "m", {}, tuple(values))
    assert group.mean == pytest.approx(np.mean(values), abs=1e-8)
    assert (group.std is None) == (len(values) == 1)
    assert group.std is None or group.std == pytest.approx(np.std(values, ddof=1), abs=1e-8)
    assert (group.low, group.high) == (min(values), max(values))


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), st.integers(2, 30))
def test_equal_values_have_no_spread(value, count):
    group = Group("d", "n", "p", "m", {}, (value,) * count)
    assert group.mean == value
    assert group.std == 0


def test_groups_gather_seeds():
    results = Results([entry(0, 1, a=1.0, b=5.0), entry(1, 1, a=3.0), entry(0, 2, a=7.0), entry(2, 1), entry(0, 1, "m", a=9.0)])
    found = [(g.where, g.metric, g.values) for g in groups(results)]
    assert found == [
        ("d / n (k=1)", "a", (1.0, 3.0)),
        ("d / n (k=1)", "b", (5.0,)),
        ("d / n (k=2)", "a", (7.0,)),
        ("d / m (k=1)", "a", (9.0,)),
    ]
    assert [g.metric for g in groups(results, ["b"])] == ["b"]
    assert groups(results, ["nosuch"]) == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_interval_is_student_t(values):
    """Against the textbook formula: t of n − 1 degrees of freedom, times s/√n."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    assert Group("d", "n", "p", "m", {}, tuple(values)).half_width == pytest.approx(half, rel=1e-6, abs=1e-6)


def test_one_value_has_no_interval():
    assert Group("d", "n", "p", "m", {}, (1.0,)).half_width is None
    assert Group("d", "n", "p", "m", {}, (0.1,) * 3).half_width == 0
