"""The Monosemanticity Score against its sum over pairs, and tile purity by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_probes.measures.monosemanticity import monosemanticity_score, tile_purity

LABEL = np.array([0, 0, 1, 1, 2, 2])
TILE = np.array([0, 0, 1, 2, 3, 3])


def score_plainly(a, label, tile):
    """The sum over pairs as it is written."""
    e = np.concatenate([tile[:, None] == np.unique(tile), label[:, None] == np.unique(label)], 1).astype(float)
    cos = e @ e.T / np.outer(np.linalg.norm(e, axis=1), np.linalg.norm(e, axis=1))
    scaled = np.ones_like(a) if a.min() == a.max() else (a - a.min()) / (a.max() - a.min())
    i, j = np.triu_indices(len(a), 1)
    weight = scaled[i] * scaled[j]
    return (weight * cos[i, j]).sum() / weight.sum()


def test_monosemanticity_by_hand():
    values = np.array(
        [[1, 0, 0, 1, 5], [1, 0, 0, 0, 5], [0, 1, 0, 0, 5], [0, 1, 0, 1, 5], [0, 0, 0, 0, 5], [0, 0, 2, 0, 5]], float
    )
    found = monosemanticity_score(values, LABEL, TILE)
    # one tile; two tiles of one class; one image only; two classes; a constant unit: the mean over all 15 pairs
    assert found[[0, 1, 3, 4]] == pytest.approx([1, 0.5, 0, (1 + 0.5 + 1) / 15])
    assert np.isnan(found[2])


@given(st.integers(0, 10_000))
def test_monosemanticity_is_the_sum_over_pairs(seed):
    rng = np.random.default_rng(seed)
    tile = rng.integers(0, 5, 12)
    label = tile // 2
    values = rng.random((12, 3)) * (rng.random((12, 3)) < 0.7) + np.eye(12, 3) + np.eye(12, 3, -3)
    found = monosemanticity_score(values, label, tile)
    for neuron in range(3):
        assert found[neuron] == pytest.approx(score_plainly(values[:, neuron], label, tile), abs=1e-12)


def test_tile_purity_by_hand():
    values = np.array([[3, 1, 0, -2], [1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1]], float)
    found = tile_purity(values, TILE)
    # means of the tiles: 2, 1, 0, 0; all 1; all 0; 1, 0, 0, 1
    assert found[[0, 1, 3]] == pytest.approx([2 / 3, 1 / 4, 1 / 2])
    assert np.isnan(found[2])
