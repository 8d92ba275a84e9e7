"""Crops of photographs: each lies in its photograph, as a plain search finds; folders, mirrored borders, halves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tmi
from tmi_datasets.photographs import crops, photographs, with_halves


def drawing(sides, rng):
    """Photographs in which no two pixels are equal in all three colours."""
    photos = []
    for high, wide in sides:
        code = rng.permutation(high * wide).reshape(high, wide)
        photos.append(np.stack([code // 256, code % 256, rng.integers(0, 256, (high, wide))], 2).astype(np.uint8))
    return photos


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2, 3, 4]))
def test_each_crop_lies_in_a_photograph(seed, high, wide, channels):
    rng = np.random.default_rng(seed)
    photos = drawing([(7, 9), (12, 5)], rng)
    images = crops(rng, (4, channels, high, wide), photos)
    assert images.dtype == np.float32
    for image in images:
        matches = 0
        for photo in photos:
            more = (0, max(0, high - photo.shape[0])), (0, max(0, wide - photo.shape[1]))
            values = np.pad(photo, (*more, (0, 0)), mode="symmetric").astype(np.float32) / 255
            values = values.transpose(2, 0, 1) if channels == 3 else np.repeat(values.mean(2)[None], channels, 0)
            windows = np.lib.stride_tricks.sliding_window_view(values, (channels, high, wide))[0]
            matches += (windows == image).all((-1, -2, -3)).sum()
        assert matches >= 1


def test_every_place_of_every_photograph_is_drawn():
    rng = np.random.default_rng(0)
    photos = drawing([(3, 4), (2, 2)], rng)
    images = crops(rng, (600, 3, 2, 2), photos)
    assert len(np.unique(images.reshape(600, -1), axis=0)) == 2 * 3 + 1
    of_second = (images == photos[1].transpose(2, 0, 1).astype(np.float32) / 255).all((1, 2, 3)).mean()
    assert 0.42 < of_second < 0.58  # photographs are chosen uniformly, however large they are


def test_none_and_empty():
    assert crops(np.random.default_rng(0), (0, 3, 5, 5), drawing([(6, 6)], np.random.default_rng(0))).shape == (0, 3, 5, 5)


def test_the_photographs_of_scikit_learn():
    from sklearn.datasets import load_sample_images

    for photo, expected in zip(photographs(), load_sample_images().images, strict=True):
        assert photo.shape == (427, 640, 3)
        np.testing.assert_array_equal(photo, expected)


@pytest.mark.slow
def test_reading_them_draws_no_random_numbers():
    import random
    import subprocess
    import sys

    code = (
        "import random; random.seed(1); from tmi_datasets.photographs import photographs; photographs(); print(random.random())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout) == random.Random(1).random()


def test_a_folder(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "b.png")
    Image.new("RGBA", (2100, 10), (9, 8, 7, 0)).save(tmp_path / "A.PNG")
    (tmp_path / "list.txt").touch()
    large, small = photographs(tmp_path)
    assert large.shape == (4, 700, 3)  # 10×2,100 reduced by 3
    assert (large == [9, 8, 7]).all()
    np.testing.assert_array_equal(small, np.repeat(grey[:, :, None], 3, 2))


def test_a_damaged_photograph_is_named(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(tmi.DataFileError, match=r"x\.jpg: cannot be read as a picture"):
        photographs(tmp_path)


def test_halves():
    photo = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    whole, half, quarter = with_halves([photo], 2)
    assert whole is photo
    assert half.shape == (6, 5, 3)
    assert quarter.shape == (3, 3, 3)
    mean = photo[:, :8].reshape(6, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(half[:, :4] - mean).max() <= 0.5
    assert len(with_halves([photo, photo], 5)) == 2
    assert len(with_halves([photo], 4)) == 2
