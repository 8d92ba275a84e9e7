"""Figure 1's data set: colour tiles of irregular shape and different sizes, exact labels, zero error of both theorems."""

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
import torch
from PIL import Image

import tmi
from tmi_datasets.cutouts import cutouts, which_cutouts
from tmi_datasets.sources.shipped import shipped

SMALL = {"image_size": 20, "sizes": [16], "samples": 40, "test_samples": 20}


def generate(seed=0, **given):
    return tmi.generate("cutouts", seed=seed, **(SMALL | given))


@pytest.fixture(scope="module")
def small():
    return generate()


def labels_by_definition(images, task):
    """Definitions 3.3 to 3.6 window by window, with the support of Definition 3.1 replaced by the tile's own."""
    labels = []
    for image in images.numpy().astype(np.float64):
        classes = set()
        for tile, label in zip(task.tiles, task.tile_class, strict=True):
            values = tile.values.astype(np.float32).astype(np.float64)
            _, rows, cols = tile.shape
            for i in range(image.shape[1] - rows + 1):
                for j in range(image.shape[2] - cols + 1):
                    difference = np.abs(image[:, i : i + rows, j : j + cols] - values)
                    if difference[tile.support].sum() < tile.epsilon:
                        classes.add(int(label))
        labels.append(classes.pop() if len(classes) == 1 else -1)
    return labels


def rgba(picture):
    with Image.open(shipped("cutouts") / picture) as opened:
        return np.asarray(opened)


@pytest.mark.parametrize("given", [{}, {"epsilon": "auto"}, {"sizes": [16, 9]}, {"epsilon": 40.0, "sizes": [20]}])
def test_labels_are_exact(given):
    data = generate(1, **given)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
    assert labels_by_definition(data.test.images[:6], data.task) == data.test.labels[:6].tolist()


def test_equal_tiles_have_no_automatic_epsilon(tmp_path):
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pixels = rgba("dog/dane.png" if name.startswith("dog") else "cat/chelsea.png")
        Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(tmi.InputError, match=r"b\.png: its tile equals that of .*a\.png, so that epsilon cannot be found"):
        generate(tiles=tmp_path, epsilon="auto")
    assert len(generate(tiles=tmp_path).task.tiles) == 3


def test_the_plain_check_can_fail(small):
    assert labels_by_definition(small.test.without_tiles().images[:3], small.task) == [-1] * 3
    noisy = (small.test.images[:3] + 0.1).clamp(0, 1)
    assert labels_by_definition(noisy, small.task) != small.test.labels[:3].tolist()


def test_it_is_what_figure_1_shows(small):
    assert small.train.images.shape == (40, 3, 20, 20)
    assert small.train.images.dtype == torch.float32
    assert small.task.class_names == ("cat", "dog")
    assert [len(one.tiles) for one in small.task.classes] == [2, 2]
    assert len({tile.shape for tile in small.task.tiles}) == 4
    for tile in small.task.tiles:
        assert (tile.support == tile.support[0]).all()
        assert 0.5 < tile.support.mean() < 0.95
        for border in (tile.support[0, 0], tile.support[0, -1], tile.support[0, :, 0], tile.support[0, :, -1]):
            assert border.any()  # nothing but the cutout takes room
    assert small.train.paste == "support"


def test_tiles_and_masks_are_the_pictures_at_their_place():
    """At the size of the files nothing is resized: values, supports and masks can be compared pixel by pixel."""
    data = generate(image_size=84, sizes=[80], samples=12, test_samples=4)
    scenes = data.train
    for i in range(len(scenes)):
        picture = rgba(data.notes["tile_pictures"][int(scenes.tile[i])])
        opaque = picture[:, :, 3] >= 128
        row, col = int(scenes.row[i]), int(scenes.col[i])
        window = np.s_[row : row + picture.shape[0], col : col + picture.shape[1]]
        mask = np.zeros((84, 84), bool)
        mask[window] = opaque
        expected = scenes.backgrounds[i].numpy().transpose(1, 2, 0).copy()
        expected[window][opaque] = (picture[:, :, :3] / 255)[opaque]
        np.testing.assert_array_equal(scenes.masks[i], mask)
        np.testing.assert_array_equal(scenes.images[i].numpy().transpose(1, 2, 0), expected)


def test_what_lies_outside_a_support_plays_no_part(small):
    rng = np.random.default_rng(0)
    other = [
        tmi.TileClass(
            one.name,
            [tmi.FeatureTile(np.where(t.support, t.values, rng.random(t.shape)), t.epsilon, t.support) for t in one.tiles],
        )
        for one in small.task.classes
    ]
    task = tmi.TemplateTask(other, small.task.image_shape)
    test = small.test
    again = tmi.Scenes(task, test.backgrounds, test.tile, test.row, test.col, paste="support")
    assert torch.equal(again.images, test.images)
    assert torch.equal(task.phi(test.images), small.task.phi(test.images))


def test_sizes_keep_the_proportions():
    data = generate(sizes=[16, 8], samples=1, test_samples=1)
    large, little = ([tile.shape for one in data.task.classes for tile in one.tiles[part]] for part in (np.s_[:2], np.s_[2:]))
    assert max(max(shape[1:]) for shape in large) == 16
    for one, other in zip(large, little, strict=True):
        assert all(abs(a - 2 * b) <= 2 for a, b in zip(one[1:], other[1:], strict=True))
    assert data.notes["tile_pictures"] == [
        f"{name}.png"
        for name in (
            "cat/chelsea",
            "cat/tabby",
            "cat/chelsea",
            "cat/tabby",
            "dog/dane",
            "dog/retriever",
            "dog/dane",
            "dog/retriever",
        )
    ]
    first = generate(samples=1, test_samples=1).task.classes[0].tiles
    for one, other in zip(data.task.classes[0].tiles, first, strict=False):
        np.testing.assert_array_equal(one.values, other.values)


def test_seed_and_number_of_samples(small):
    same, other, more = generate(), generate(1), generate(samples=41)
    assert torch.equal(same.train.images, small.train.images)
    assert torch.equal(more.test.images, small.test.images)
    assert not torch.equal(other.test.backgrounds, small.test.backgrounds)
    assert not torch.equal(small.train.backgrounds[:20], small.test.backgrounds)


def test_tiles_lie_at_every_place():
    data = generate(image_size=18, samples=800, test_samples=1)
    for tile, (rows, cols) in enumerate(data.task.windows):
        mine = data.train.tile == tile
        places = set(zip(data.train.row[mine].tolist(), data.train.col[mine].tolist(), strict=True))
        assert len(places) == min(rows * cols, len(places))
        assert {row for row, _ in places} == set(range(rows))
        assert {col for _, col in places} == set(range(cols))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("builder", "realisation"),
    [("theorem1", "fused"), ("theorem1", "literal"), ("theorem2", "fused"), ("theorem2", "literal")],
)
def test_both_theorems_have_zero_error(builder, realisation, dtype):
    data = generate(2, image_size=12, sizes=[9], test_samples=12)
    test = data.test.with_backgrounds(data.test.backgrounds.to(dtype))
    images, labels = test.images, test.labels
    assert images.dtype == dtype
    logits = tmi.build(builder, data, realisation=realisation).logits(images)
    others = torch.arange(2) != labels[:, None]
    assert (logits[others] == 0).all()
    expected = data.task.phi(images)
    assert (expected[~others] > 4.99).all()
    torch.testing.assert_close(logits, expected, atol=2e-4 if dtype == torch.float32 else 1e-9, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["theorem1", "theorem2"])
def test_the_layers_of_both_theorems_at_the_default_size(builder):
    data = tmi.generate("cutouts", seed=0, samples=1, test_samples=12)
    network = tmi.build(builder, data, realisation="literal", **({"memory": 2.0} if builder == "theorem2" else {}))
    logits = network.logits(data.test.images)
    assert (logits[torch.arange(2) != data.test.labels[:, None]] == 0).all()
    torch.testing.assert_close(logits, data.task.phi(data.test.images), atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [5.0, "auto"])
def test_the_defaults(epsilon):
    data = tmi.generate("cutouts", seed=3, epsilon=epsilon)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
    for builder in ("theorem1", "theorem2"):
        assert tmi.probe("accuracy", tmi.build(builder, data, realisation="fused"), data).metrics["accuracy"] == 1
    trained = tmi.probe("accuracy", tmi.build("cnn", data, seed=3), data).metrics["accuracy"]
    assert 0.75 < trained < 1


def save(path, shape=(6, 5), opaque=np.s_[1:-1, 1:], color=(200, 40, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((*shape, 4), np.uint8)
    picture[..., :3] = color
    picture[(*opaque, 3)] = 255
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "tiles" / "bird" / "b.png")
    save(tmp_path / "tiles" / "bird" / "a.png", (3, 4), np.s_[:, 2:], (10, 20, 250))
    save(tmp_path / "tiles" / "ant" / "x.png", (5, 5), np.s_[:, :], (0, 0, 0))
    return tmp_path / "tiles"


def test_a_folder_of_your_own(folder):
    Image.open(folder / "bird" / "b.png").quantize(4).save(folder / "bird" / "c.png")  # a palette with a transparent entry
    (folder / "bird" / ".hidden.png").touch()
    (folder / "bird" / "notes.txt").touch()
    (folder / ".git").mkdir()
    data = generate(tiles=folder, sizes=[5], epsilon=1.0)
    assert data.task.class_names == ("ant", "bird")
    assert data.notes["source"] == "folder"
    assert data.notes["tile_pictures"] == ["ant/x.png", "bird/a.png", "bird/b.png", "bird/c.png"]
    # Cut to the support, which is 3×2 and 4×4 pixels; black pixels count where they are opaque.
    assert [tile.shape[1:] for tile in data.task.tiles] == [(5, 5), (3, 2), (4, 4), (4, 4)]
    assert all(tile.support.all() for tile in data.task.tiles)
    np.testing.assert_array_equal(data.task.tiles[1].values[:, 0, 0] * 255, [10, 20, 250])
    assert torch.equal(data.task.labels(data.test.images), data.test.labels)


def test_half_opacity_is_the_border_of_the_support(tmp_path):
    picture = np.full((1, 4, 4), 90, np.uint8)
    picture[0, :, 3] = 255, 128, 127, 0
    (tmp_path / "a").mkdir()
    Image.fromarray(picture).save(tmp_path / "a" / "a.png")
    assert generate(tiles=tmp_path, sizes=[2]).task.tiles[0].shape == (3, 1, 2)


def test_backgrounds_of_your_own(tmp_path):
    Image.new("RGB", (50, 40), (255, 0, 51)).save(tmp_path / "red.png")
    Image.new("L", (8, 4), 102).save(tmp_path / "small grey.png")
    data = generate(background=f"natural(folder={str(tmp_path)!r})")
    colors = data.train.backgrounds.flatten(2)
    assert (colors == colors[:, :, :1]).all()
    found = {tuple(color) for color in (colors[:, :, 0] * 255).round().int().tolist()}
    assert found == {(255, 0, 51), (102, 102, 102)}
    assert torch.equal(data.task.labels(data.train.images), data.train.labels)


@pytest.mark.parametrize(
    ("spoil", "given", "what"),
    [
        (lambda f: (f / "ant" / "x.png").write_bytes(b"no"), {}, r"x\.png: cannot be read as a picture"),
        (lambda f: (f / "ant" / "x.png").unlink(), {}, r"ant: holds no picture \(\.bmp"),
        (lambda f: Image.new("RGB", (4, 4)).save(f / "ant" / "x.png"), {}, r"x\.png: has no alpha channel"),
        (lambda f: Image.new("RGBA", (4, 4)).save(f / "ant" / "x.png"), {}, r"x\.png: no pixel is of at least half opacity"),
        (lambda f: save(f / "ant" / "x.png", (9, 9), np.s_[::2, ::2]), {"sizes": [4]}, r"x\.png: no pixel is .* at 4×4 pixels"),
        (lambda f: None, {"sizes": [5, 21]}, r"x\.png: 21×21 pixels do not fit into images of 20×20; use smaller sizes"),
        (lambda f: save(f / "ant" / "y.png"), {}, r"told apart: tile .* is .*ant.y\.png, bird/1 is .*bird.b\.png"),
        (lambda f: save(f / "ant" / "y.png"), {"epsilon": "auto"}, r"contains tile .* is .*y\.png, bird/1 is .*b\.png"),
    ],
)
def test_refusals_name_the_file(folder, spoil, given, what):
    spoil(folder)
    with pytest.raises((tmi.InputError, tmi.DataFileError), match=what) as caught:
        generate(tiles=folder, **({"sizes": [5], "epsilon": 1.0} | given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"image_size": 0}, "image_size"),
        ({"sizes": []}, "sizes: needs at least one"),
        ({"sizes": [0]}, "sizes"),
        ({"sizes": 8}, "sizes"),
        ({"samples": 0}, "samples"),
        ({"epsilon": "half"}, "epsilon"),
        ({"tiles": "nowhere"}, "nowhere"),
        ({"background": "natural(folder='nowhere')"}, "nowhere"),
    ],
)
def test_bad_settings(given, what):
    with pytest.raises(tmi.InputError, match=what):
        generate(**given)


def test_a_folder_without_classes(tmp_path):
    with pytest.raises(tmi.DataFileError, match="holds no folder; it needs one for each class"):
        cutouts(seed=0, tiles=tmp_path)
    with pytest.raises(tmi.DataFileError, match="is no folder"):
        cutouts(seed=0, tiles=tmp_path / "x")


def test_the_key_knows_the_shipped_pictures(small, folder):
    sums = (shipped("cutouts") / "SHA256SUMS").read_text()
    expected = {name: digest for digest, name in (line.split() for line in sums.splitlines())}
    assert which_cutouts(tiles=None, samples=3) == expected == small.notes["sha256"]
    assert which_cutouts(tiles=folder) == {}
    assert cutouts.tmi_external is which_cutouts


def test_importing_and_identifying_costs_no_heavy_library():
    code = (
        "import sys, tmi_datasets.cutouts as c; c.which_cutouts();"
        "print([m for m in ('torch', 'sklearn', 'numba', 'scipy', 'matplotlib', 'h5py', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_every_setting_is_described():
    from tmi.params import parameters

    for parameter in parameters(cutouts).values():
        assert len(parameter.text) > 15, parameter.name


def test_the_script_makes_what_ships():
    """For the one photograph that a package carries; its decoder and the resampling may differ by a level between versions."""
    import runpy

    script = runpy.run_path(str(shipped("cutouts") / "make_cutouts.py"))
    cutout = script["CUTOUTS"][0]
    photograph = resources.files("skimage") / "data" / "chelsea.png"
    made = np.asarray(script["cut"](photograph, cutout)).astype(int)
    assert made.shape == (49, 60, 4)
    assert np.abs(made - rgba(cutout.target)).max() <= 1
