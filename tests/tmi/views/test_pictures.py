from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tmi.views.pictures import BYTES, image_pixels, picture, rgb, row_of, tile_pixels

from .shown import tile


def decoded(html):
    data = base64.b64decode(re.search(r"base64,([^\"]*)", html)[1])
    return data, np.asarray(Image.open(io.BytesIO(data)))


def test_pixels_come_back():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(decoded(picture(pixels, "a"))[1], pixels)


def test_a_large_picture_is_made_coarser_and_keeps_its_size_on_the_page():
    pixels = np.random.default_rng(0).integers(0, 256, (900, 700, 3), np.uint8)
    html = picture(pixels, 'an "alt"')
    data, shown = decoded(html)
    assert len(data) <= BYTES
    assert shown.shape[0] < 900
    assert 'width="700" height="900"' in html
    assert "an &quot;alt&quot;" in html


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_colours(channels):
    image = np.arange(channels * 6).reshape(channels, 2, 3) / 20
    expected = np.repeat(image.mean(0)[..., None], 3, 2) if channels != 3 else np.moveaxis(image, 0, -1)
    np.testing.assert_array_equal(rgb(image), np.round(255 * expected.astype(np.float32)).astype(np.uint8))
    if channels != 3:
        np.testing.assert_allclose(rgb(image, ink=True).astype(int), 255 - rgb(image).astype(int), atol=1)


def test_a_blue_line_surrounds_the_mask_and_covers_none_of_it():
    image, mask = np.full((1, 20, 20), 0.25), np.zeros((20, 20), bool)
    mask[5:9, 6:12] = True
    pixels = image_pixels(image, mask, 20)
    blue = (pixels == (0, 114, 178)).all(2)
    expected = np.zeros((20, 20), bool)
    expected[4:10, 5:13] = True
    np.testing.assert_array_equal(blue, expected & ~mask)
    assert (pixels[mask] == 64).all()


def test_pixels_outside_the_support_are_transparent():
    support = np.zeros((8, 8), bool)
    support[2:4, 2:4] = True
    pixels = tile_pixels(tile(0.5, (1, 8, 8), support=support), 8)
    assert (pixels[2:4, 2:4] == (128, 128, 128, 255)).all()
    assert (pixels[7, 6] == 0).all()
    assert (tile_pixels(tile(0.5, (1, 8, 8)), 8) == (128, 128, 128, 255)).all()


def test_a_row_of_pictures():
    cells = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    page = row_of(cells, per_row=2, gap=1)
    assert page.shape == (5, 7, 4)
    assert page[3:, :3, 0].tolist() == [[30] * 3] * 2
    assert page[:2, 4:, 0].tolist() == [[20] * 3] * 2
    assert (page[2] == 0).all()
    assert (page[3:, 4:] == 0).all()
