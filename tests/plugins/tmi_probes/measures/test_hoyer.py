import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tmi_probes.measures.hoyer import hoyer, hoyer_of_norms


def test_by_hand():
    rows = np.array([[0, 3, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, -2, 0, 0]], float)
    expected = [1, 0, 2 - np.sqrt(2), np.nan, 1]
    assert np.allclose(hoyer(rows), expected, equal_nan=True, rtol=1e-14)
    assert np.isnan(hoyer(np.ones((2, 1)))).all()
    assert np.isnan(hoyer(np.array([[np.inf, 1, 0], [np.nan, 1, 0]]))).all()


@given(hnp.arrays(float, (3, 5), elements=st.floats(-1e6, 1e6, allow_subnormal=False)), st.floats(0.01, 100))
def test_in_range_and_free_of_scale(rows, scale):
    found = hoyer(rows)
    assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()
    assert (np.isnan(found) == ~rows.any(1)).all()
    assert np.allclose(found, hoyer(rows * scale), equal_nan=True, atol=1e-6)


@given(st.integers(0, 10_000))
def test_is_the_formula(seed):
    rows = np.random.default_rng(seed).normal(size=(6, 9))
    one, two = np.abs(rows).sum(1), np.sqrt(np.square(rows).sum(1))
    plain = (np.sqrt(9) - one / two) / (np.sqrt(9) - 1)
    assert np.abs(hoyer(rows) - plain).max() < 1e-9
    assert np.abs(hoyer_of_norms(one, two, 9) - plain).max() < 1e-9


def test_tiny_and_huge_values():
    rows = np.array([[3e-300, 0, 4e-300], [3e300, 0, 4e300]])
    assert np.allclose(hoyer(rows), (np.sqrt(3) - 7 / 5) / (np.sqrt(3) - 1))
