import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi_probes.measures.meanings import kept, standardised


def by_definition(activations, meanings):
    """Each unit by itself, image by image."""
    rows = []
    for values, meant in zip(activations.T.tolist(), meanings.T.tolist(), strict=True):
        own = [a for a, m in zip(values, meant, strict=True) if m > 0]
        other = [a for a, m in zip(values, meant, strict=True) if not m > 0]
        fires = sum(a > 0 for a in own) / len(own) if own else np.nan
        alarms = sum(a > 0 for a in other) / len(other) if other else np.nan
        alone = bool(own) and bool(other) and all(a > 0 for a in own) and not any(a > 0 for a in other)
        separable = bool(own) and bool(other) and min(own) > max(other)
        varies = len(set(values)) > 1 and len(set(meant)) > 1
        rows.append((fires, alarms, alone, separable, np.corrcoef(values, meant)[0, 1] if varies else 0.0))
    return [np.array(column) for column in zip(*rows, strict=True)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 5), st.sampled_from(["float32", "float64"]))
def test_each_unit_by_itself(seed, images, units, dtype):
    rng = np.random.default_rng(seed)
    activations = rng.integers(-2, 4, (images, units)).astype(dtype)
    meanings = np.maximum(rng.integers(-3, 3, (images, units)), 0) / 2
    found = kept(activations, meanings)
    for name, expected in zip(
        ("fires", "false_alarms", "alone", "separable", "correlation"), by_definition(activations, meanings), strict=True
    ):
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-6, err_msg=name)


def test_a_unit_that_keeps_its_meaning_and_one_that_needs_another_bias():
    meanings = np.array([[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    found = kept(np.array([[3.0, 5.0], [0.0, 1.0], [0.0, 2.0]]), meanings)
    assert found.alone.tolist() == [True, False]
    assert found.separable.tolist() == [True, True]
    assert found.false_alarms.tolist() == [0, 1]
    assert found.correlation[0] == pytest.approx(1)


def test_large_activations_do_not_overflow():
    values = np.array([[1e38], [0.0], [-1e38]], np.float32)
    np.testing.assert_allclose(standardised(values).ravel(), [np.sqrt(0.5), 0, -np.sqrt(0.5)], atol=1e-7)
    assert not standardised(np.full((3, 2), 7.0)).any()
