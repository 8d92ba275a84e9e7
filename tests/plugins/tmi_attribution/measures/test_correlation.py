import numpy as np
import pytest

from tmi_attribution.measures.correlation import pearson

RNG = np.random.default_rng(0)


def test_correlation_by_row():
    x, y = RNG.normal(size=(3, 9)), RNG.normal(size=(3, 9))
    x[1], y[2] = 0.1 * 3, 7
    found = pearson(x * 1e-250, y * 1e200)
    assert found[0] == pytest.approx(np.corrcoef(x[0], y[0])[0, 1])
    assert found[1] == 0
    assert np.isnan(found[2])
