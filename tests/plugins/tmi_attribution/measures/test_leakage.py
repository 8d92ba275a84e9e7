import numpy as np
import pytest
from hypothesis import given

from tmi_attribution.measures.leakage import chance, null_leakage

from .cases import maps_and_masks, masked


@given(maps_and_masks())
def test_it_is_the_share_in_the_null_region(case):
    maps, null = case
    truth = masked(np.ones_like(null), null=null)
    for found, a, z in zip(null_leakage(maps, truth), maps, null, strict=True):
        expected = (
            a[z].sum() / a.sum() if z.any() and not z.all() and a.any() else np.nan
        )  # a map of zeros leaks nothing and says nothing
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert null_leakage(np.ones(null.shape), truth) == pytest.approx(chance(truth), nan_ok=True)


def test_where_nothing_is_proven_there_is_no_score():
    unknown = masked(np.ones((3, 2, 2), bool))
    assert np.isnan(null_leakage(np.ones((3, 2, 2)), unknown)).tolist() == [True] * 3
    assert np.isnan(chance(unknown)).tolist() == [True] * 3
