import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from tmi_attribution.measures.agreement import rank_correlation, relative_error, signed_agreement

from .cases import masked

ALL = [relative_error, signed_agreement, rank_correlation]
RNG = np.random.default_rng(0)
VALUES = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]) | st.floats(-1, 1)


def chosen(values, k):
    limit = sorted(values, reverse=True)[k - 1]
    above, equal = values > limit, values == limit
    return above + equal * (k - above.sum()) / equal.sum()


@given(*[arrays(np.float64, (2, 2, 3, 3), elements=VALUES)] * 2, arrays(np.bool_, (2, 3, 3)))
def test_against_plain_formulas(maps, exact, masks):
    truth = masked(masks, exact=exact)
    found = {measure: measure(maps, truth) for measure in ALL}
    for i in range(2):
        a, o = maps[i], exact[i]
        whole = np.abs(o).sum()
        assert found[relative_error][i] == pytest.approx(np.abs(a - o).sum() / whole if whole else np.nan, nan_ok=True)
        said, true = a.sum(0).ravel(), o.sum(0).ravel()
        k = min(masks[i].sum(), (true != 0).sum())
        if k:
            weights = chosen(np.abs(said), k) * chosen(np.abs(true), k)
            agreed = sum(w for w, s, t in zip(weights, said, true, strict=True) if s * t > 0) / k
        assert found[signed_agreement][i] == pytest.approx(agreed if k else np.nan, abs=1e-9, nan_ok=True)
        said, true = np.abs(a).sum(0).ravel(), np.abs(o).sum(0).ravel()
        expected = np.nan if np.ptp(true) == 0 else 0 if np.ptp(said) == 0 else spearmanr(said, true).statistic
        assert found[rank_correlation][i] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_the_truth_agrees_with_itself_and_zeros_say_nothing():
    exact = RNG.normal(size=(3, 2, 5, 5))
    truth = masked(RNG.random((3, 5, 5)) < 0.4, exact=exact)
    assert [measure(exact, truth).round(12).tolist() for measure in ALL] == [[0] * 3, [1] * 3, [1] * 3]
    assert [measure(0 * exact, truth).tolist() for measure in ALL] == [[1] * 3, [0] * 3, [0] * 3]
    assert signed_agreement(-exact, truth).tolist() == [0] * 3
    assert relative_error(-exact, truth) == pytest.approx([2] * 3)


def test_maps_of_one_channel_are_compared_with_the_sum_over_the_channels():
    exact = RNG.normal(size=(3, 2, 5, 5))
    truth = masked(np.ones((3, 5, 5), bool), exact=exact)
    assert relative_error(exact.sum(1, keepdims=True), truth) == pytest.approx([0] * 3)
    assert signed_agreement(exact.sum(1, keepdims=True), truth) == pytest.approx([1] * 3)


def test_without_the_exact_attribution_there_is_no_score():
    for measure in ALL:
        assert np.isnan(measure(np.ones((3, 1, 2, 2)), masked(np.ones((3, 2, 2), bool)))).tolist() == [True] * 3


def test_neighbours_change_nothing():
    maps, exact, masks = RNG.normal(size=(5, 1, 6, 6)), RNG.normal(size=(5, 1, 6, 6)), RNG.random((5, 6, 6)) < 0.4
    for measure in ALL:
        alone = [measure(maps[[i]], masked(masks[[i]], exact=exact[[i]]))[0] for i in range(5)]
        assert alone == pytest.approx(measure(maps, masked(masks, exact=exact)), abs=1e-12)
