import numpy as np
import pytest
from PIL import Image

import tmi
from tmi_datasets.sources.pictures import pictures_in, read_picture


def test_pictures_in_the_order_of_their_names(tmp_path):
    for name in ("b.png", "a.JPG", ".c.png", "d.txt", "e"):
        (tmp_path / name).touch()
    assert [file.name for file in pictures_in(tmp_path)] == ["a.JPG", "b.png"]


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(tmi.DataFileError, match="holds no picture"):
        pictures_in(tmp_path)
    with pytest.raises(tmi.DataFileError, match="missing: is no folder"):
        pictures_in(tmp_path / "missing")


def test_a_picture_is_turned_upright(tmp_path):
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: to be rotated clockwise
    picture.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "x.png")), [[3, 0], [4, 1], [5, 2]])


@pytest.mark.parametrize("keep", [0, 10, 60, 300])
def test_a_damaged_picture_is_named(tmp_path, keep):
    file = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(tmi.DataFileError, match=r"x\.png: cannot be read as a picture \(.+\)") as caught:
        read_picture(file)
    assert "\n" not in str(caught.value)


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(tmi.DataFileError, match=r"x\.png: cannot be read as a picture \(No such file"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_become_8(tmp_path, suffix):
    values = np.array([[0, 257, 128 * 257], [65535, 0x4000, 1]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"x{suffix}")
    read = np.asarray(read_picture(tmp_path / f"x{suffix}").convert("RGB"))
    np.testing.assert_array_equal(read, np.repeat(np.round(values / 257).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize(
    "values", [np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70000, np.int32), np.full((2, 2), -1, np.int32)]
)
def test_other_pixels_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(tmi.DataFileError, match=r"x\.tif: its pixels are not whole numbers of 8 or 16 bits"):
        read_picture(tmp_path / "x.tif")
