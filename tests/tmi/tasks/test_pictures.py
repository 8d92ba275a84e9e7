"""Pictures of every kind that people have, written by Pillow and read back."""

import numpy as np
import pytest
from PIL import Image

import tmi
from tmi.tasks.pictures import Picture, read_picture

RGBA = np.array([[[200, 100, 0, 255], [10, 20, 30, 128]], [[50, 60, 70, 127], [1, 2, 3, 0]], [[9, 8, 7, 255]] * 2], np.uint8)


def saved(folder, array, name="x.png", **options):
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    picture.save(folder / name, **options)
    return folder / name


def test_alpha_becomes_the_support(tmp_path):
    tile = tmi.FeatureTile.from_image(saved(tmp_path, RGBA), 0.5)
    support = RGBA[..., 3] >= 128
    assert np.array_equal(tile.support, np.broadcast_to(support, (3, 3, 2)))
    assert np.array_equal(tile.values, np.where(support, RGBA[..., :3].transpose(2, 0, 1) / 255, 0))
    assert tile.epsilon == 0.5


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.bmp"])
def test_grey_counts_as_a_whole(tmp_path, name):
    values = np.array([[0, 255, 17], [0, 0, 0]], np.uint8)
    tile = tmi.FeatureTile.from_image(str(saved(tmp_path, values, name)), 1)
    assert np.array_equal(tile.values, values[None] / 255)
    assert tile.support.all()


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_16_bits_keep_their_precision(tmp_path, name):
    values = np.array([[0, 1, 257], [65535, 40000, 3]], np.uint16)
    assert np.array_equal(read_picture(saved(tmp_path, values, name)).values, values[None] / 65535)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_of_32_bits_white_is_not_known(tmp_path, kind):
    file = saved(tmp_path, np.array([[0, 200], [255, 17]], kind), "x.tif")
    mode = {np.int32: "I", np.float32: "F"}[kind]
    with pytest.raises(tmi.DataFileError, match=rf"x\.tif: its pixels are not whole numbers of 8 or 16 bits \(mode {mode}\)"):
        read_picture(file)


def test_other_kinds(tmp_path):
    rgb = RGBA[..., :3]
    palette = Image.fromarray(rgb).quantize(6)
    palette.info["transparency"] = palette.getpixel((1, 2))
    read = read_picture(saved(tmp_path, palette, transparency=palette.getpixel((1, 2))))
    expected = np.asarray(palette.convert("RGBA"))
    assert np.array_equal(read.values, expected[..., :3].transpose(2, 0, 1) / 255)
    assert np.array_equal(read.support, expected[..., 3] > 0)
    assert not read.support.all()
    grey_alpha = read_picture(saved(tmp_path, Image.fromarray(RGBA).convert("LA")))
    assert grey_alpha.values.shape == (1, 3, 2)
    assert np.array_equal(grey_alpha.alpha, RGBA[..., 3] / 255)
    black_and_white = read_picture(saved(tmp_path, Image.fromarray(np.eye(3, dtype=bool))))
    assert np.array_equal(black_and_white.values[0], np.eye(3))
    cmyk = read_picture(saved(tmp_path, Image.fromarray(rgb).convert("CMYK"), "x.tif"))
    assert np.array_equal(cmyk.values, rgb.transpose(2, 0, 1) / 255)
    assert cmyk.alpha is None


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(tmp_path, np.array([[0] * 16, [255] * 16] * 1, np.uint8).repeat(8, 0), "x.jpg", exif=exif, quality=95)
    read = read_picture(file).values
    assert read.shape == (1, 16, 16)
    assert read[0, :, 12:].mean() < 0.1 < 0.9 < read[0, :, :4].mean()  # what was the upper half is on the right


def test_resizing_ignores_the_colour_of_transparent_pixels(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :, 1] = 255  # green, which nobody sees
    rgba[:, 4:] = [255, 0, 0, 255]
    tile = tmi.FeatureTile.from_image(saved(tmp_path, rgba), 1, size=4)
    assert tile.shape == (3, 4, 4)
    assert tile.support[0].tolist() == [[False, False, True, True]] * 4
    assert np.array_equal(tile.values[:, :, 2:], np.broadcast_to(np.array([1, 0, 0])[:, None, None], (3, 4, 2)))


@pytest.mark.parametrize(("shape", "size", "expected"), [((6, 3), 4, (4, 2)), ((1, 9), 3, (1, 3)), ((2, 5), 10, (4, 10))])
def test_the_longest_side_is_scaled(shape, size, expected):
    picture = Picture(np.full((1, *shape), 0.25)).scaled(size)
    assert picture.values.shape[1:] == expected
    assert np.abs(picture.values - 0.25).max() < 1e-5


def test_bad_pictures_are_named(tmp_path, monkeypatch):
    frames = [Image.fromarray(np.full((4, 4), grey, np.uint8)) for grey in (0, 100, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "b.png").write_text("no picture")
    saved(tmp_path, np.zeros((3, 3, 4), np.uint8), "c.png")
    saved(tmp_path, np.zeros((9, 9), np.uint8), "d.png")
    for name, message in (
        ("a.gif", "a.gif: has 3 frames"),
        ("b.png", "b.png: cannot be read as a picture"),
        ("c.png", "c.png: no pixel is of at least half opacity"),
        ("e.png", "e.png: cannot be read as a picture (No such file or directory)"),
    ):
        with pytest.raises(tmi.TmiError) as caught:
            tmi.FeatureTile.from_image(tmp_path / name, 1)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(tmi.InputError, match=r"path: expected that of a picture file, got ndarray; FeatureTile takes values"):
        tmi.FeatureTile.from_image(np.zeros((3, 3)), 1)
    for size in (0, True, 1.5):
        with pytest.raises(tmi.InputError, match="size: expected a whole number"):
            tmi.FeatureTile.from_image(tmp_path / "d.png", 1, size=size)
    for limit in (60, 20):  # Pillow warns above its limit, and raises above twice that
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(tmi.DataFileError, match=rf"d\.png: has more than {limit} pixels, Pillow's limit"):
            read_picture(tmp_path / "d.png")
