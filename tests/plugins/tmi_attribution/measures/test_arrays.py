"""Shares, ratios and slices, whose edge cases every measure relies on."""

import numpy as np
import pytest

from tmi_attribution.measures.arrays import known_mean, parts, ratio, share_inside, share_of_pixels


def test_slices_cover_all_images_with_one_image_at_least():
    assert [(rows.start, rows.stop) for rows in parts(5, each=4, elements=8)] == [(0, 2), (2, 4), (4, 5)]
    assert [(rows.start, rows.stop) for rows in parts(2, each=100, elements=8)] == [(0, 1), (1, 2)]
    assert list(parts(0, each=4, elements=8)) == []


def test_the_ratio_to_0_is_nan_or_what_is_asked_for():
    part, whole = np.array([1.0, 2.0]), np.array([4.0, 0.0])
    assert ratio(part, whole).tolist() == [0.25, pytest.approx(np.nan, nan_ok=True)]
    assert ratio(part, whole, 7).tolist() == [0.25, 7]


def test_nan_is_left_out_of_a_mean():
    scores = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    assert known_mean(scores) == pytest.approx([2, 5, np.nan], nan_ok=True)


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e306])
def test_shares_of_maps_of_any_size(scale):
    region = np.zeros((3, 2, 2), bool)
    region[:2, 0, 0] = True
    maps = np.array([[[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]) * scale
    # A map of zeros counts as a constant one; an empty region has no share.
    assert share_inside(maps, region) == pytest.approx([0.25, 0.25, np.nan], nan_ok=True)
    assert share_of_pixels(region) == pytest.approx([0.25, 0.25, np.nan], nan_ok=True)
