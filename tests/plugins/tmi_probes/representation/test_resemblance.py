"""Correlation with tiles against NumPy's, pixel by pixel, and what random tiles keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi_probes.representation.resemblance import best_match, correlations_at, same_spectrum


def by_hand(picture, read, values, support):
    """Every place by np.corrcoef; the rule of the number of pixels, too."""
    places = {}
    for row in range(picture.shape[1] - support.shape[1] + 1):
        for col in range(picture.shape[2] - support.shape[2] + 1):
            window = np.s_[:, row : row + support.shape[1], col : col + support.shape[2]]
            used = support & read[window[1:]]
            places[row, col] = used.sum(), picture[window][used], values[used]
    most = max(count for count, _, _ in places.values())
    enough = max(3, most, min(len(picture) * read.sum(), support.sum()) / 2)
    found = {}
    for place, (count, x, y) in places.items():
        if count >= enough and np.ptp(x) > 0 and np.ptp(y) > 0:
            found[place] = np.corrcoef(x, y)[0, 1]
    return found


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_correlations_are_numpys_at_every_place(seed):
    rng = np.random.default_rng(seed)
    channels, m, n = rng.choice([1, 3]), *rng.integers(2, 8, 2)
    picture = rng.integers(0, 5, (channels, m, n)) / 4
    high, wide = rng.integers(1, m + 1), rng.integers(1, n + 1)
    values, support = rng.integers(0, 5, (channels, high, wide)) / 4, rng.random((channels, high, wide)) < 0.8
    read = np.zeros((m, n), bool)
    read[: rng.integers(1, m + 1), rng.integers(0, n) :] = True
    expected = by_hand(picture, read, values, support)
    found = correlations_at(picture, read, values[None], support)[0]
    assert {(int(r), int(c)) for r, c in zip(*np.nonzero(np.isfinite(found)), strict=True)} == set(expected)
    for place, value in expected.items():
        assert found[place] == pytest.approx(value, abs=1e-7)
    best, (tile, row, col) = best_match(picture, read, [(values[None], support)])
    if expected:
        assert best[0] == pytest.approx(max(expected.values()), abs=1e-7)
        assert (tile, found[row, col]) == (0, best[0])
    else:
        assert np.isnan(best[0])
        assert (tile, row, col) == (-1, -1, -1)


def test_a_tile_is_found_at_its_place_whatever_its_contrast():
    rng = np.random.default_rng(0)
    tiles = rng.random((3, 1, 4, 5))
    picture = rng.random((1, 9, 9))
    picture[:, 3:7, 2:7] = 0.2 + 0.3 * tiles[1]
    kernels = [(tile[None], np.ones(tile.shape, bool)) for tile in tiles]
    best, where = best_match(picture, np.ones((9, 9), bool), kernels)
    assert best[0] == pytest.approx(1)
    assert where == (1, 3, 2)


def test_random_tiles_have_the_power_spectrum_of_the_tile_and_are_uncorrelated_with_it():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(1, 12, 12)), 1), 2)
    support = np.ones(smooth.shape, bool)
    drawn = same_spectrum(smooth, support, 200, rng)
    centred = smooth - smooth.mean()
    assert np.allclose(np.abs(np.fft.fft2(drawn)), np.abs(np.fft.fft2(centred)), atol=1e-9 * np.abs(centred).max() * 144)
    correlations = [np.corrcoef(each.ravel(), smooth.ravel())[0, 1] for each in drawn]
    assert abs(np.mean(correlations)) < 0.1
    shuffled = rng.permuted(np.repeat(smooth.reshape(1, -1), 200, 0), axis=1).reshape(drawn.shape)
    steps = [np.abs(np.diff(each, axis=-1)).mean() / each.std() for each in (smooth, drawn, shuffled)]
    assert steps[1] < 2 * steps[0] < steps[2]  # as smooth as the tile, where shuffled pixels are not
