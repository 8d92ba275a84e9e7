"""How far logits vary, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_probes.robustness.variants import spread


def test_spread_by_hand():
    found = spread(np.array([[1.0, 0, 5], [3, 0, 5], [5, 0, 5]]), 0)
    assert found.logit_std == pytest.approx([np.sqrt(8 / 3), 0, 0])
    assert found.label_logit_std == pytest.approx(np.sqrt(8 / 3))
    assert found.margin_std == pytest.approx(np.sqrt(8 / 3))
    assert found.margin_min == -4


@given(st.floats(-1e9, 1e9), st.integers(1, 50))
def test_equal_values_have_no_spread_at_all(value, variants):
    found = spread(np.full((variants, 3), value), 1)
    assert not found.logit_std.any()
    assert found.margin_std == 0


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2), min_size=1, max_size=9))
def test_spread_is_numpys(rows):
    assert spread(np.array(rows), 0).logit_std == pytest.approx(np.std(rows, axis=0), abs=1e-9)
