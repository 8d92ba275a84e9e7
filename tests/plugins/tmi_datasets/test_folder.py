"""Your own pictures, of the kinds that people have, as tiles and as plain images; every refusal names the file."""

import gzip
import hashlib
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import tmi
from tests.tmi.cli.calls import call
from tmi.params import parameters
from tmi_datasets.folder import folder, which_pictures
from tmi_datasets.sources.idx import encode

SMALL = {"samples": 12, "test_samples": 6}


def picture(seed, shape=(6, 5, 3), low=0):
    return np.random.default_rng(seed).integers(low, 256, shape, dtype=np.uint8)


def save(file, array, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(file, **options)
    return file


@pytest.fixture
def mixed(tmp_path):
    """One class of pictures in colour, one of grey ones, of different sizes and kinds."""
    root = tmp_path / "pictures"
    rgba = np.concatenate([picture(1), np.full((6, 5, 1), 255, np.uint8)], axis=2)
    rgba[:2, :, 3] = 0
    rgba[2:, 0, 3] = 100
    save(root / "colour" / "a.png", rgba)
    save(root / "colour" / "b.tif", picture(2, (4, 7, 3)))
    save(root / "grey" / "c.png", (picture(3, (5, 5)).astype(np.uint16) << 8) | 7)
    (root / "grey" / ".hidden").touch()
    (root / "_notes").mkdir()
    (root / "LICENSE").write_text("free")
    return root


def test_tiles_of_every_kind(mixed):
    data = tmi.generate("folder", path=mixed, seed=0, **SMALL)
    task, (a, b, c) = data.task, data.task.tiles
    assert task.class_names == ("colour", "grey")
    assert task.image_shape == (3, 11, 11)  # one and a half times 7, rounded up
    assert a.shape == (3, 4, 4)  # without the transparent borders
    assert a.support.all()
    assert np.array_equal(a.values, picture(1)[2:, 1:].transpose(2, 0, 1) / 255)
    assert np.array_equal(b.values, picture(2, (4, 7, 3)).transpose(2, 0, 1) / 255)
    sixteen = (picture(3, (5, 5)).astype(np.float64) * 256 + 7) / 65535
    assert np.array_equal(c.values, np.broadcast_to(sixteen, (3, 5, 5)))
    assert data.notes == {"format": "folders", "tile_pictures": ["colour/a.png", "colour/b.tif", "grey/c.png"]}
    for scenes in (data.train, data.test):
        assert torch.equal(task.labels(scenes.images), scenes.labels)
    again = tmi.generate("folder", path=mixed, seed=0, **SMALL)
    assert torch.equal(again.train.images, data.train.images)
    assert not torch.equal(tmi.generate("folder", path=mixed, seed=1, **SMALL).train.images, data.train.images)
    for theorem in ("theorem1", "theorem2"):
        network = tmi.build(theorem, data)
        assert tmi.probe("accuracy", network, data).metrics["accuracy"] == 1


def test_scaled_tiles(mixed):
    data = tmi.generate("folder", path=mixed, size=3, image_size=9, epsilon=0.1, **SMALL)
    assert [tile.shape for tile in data.task.tiles] == [(3, 3, 3), (3, 2, 3), (3, 3, 3)]
    assert data.task.image_shape == (3, 9, 9)
    assert {tile.epsilon for tile in data.task.tiles} == {0.1}


def test_grey_pictures_give_one_channel_and_black_may_be_no_support(tmp_path):
    for name, column in (("a", 1), ("b", 3)):
        values = np.zeros((5, 5, 3), np.uint8)
        values[:, column] = 200
        save(tmp_path / name / "x.png", values)  # RGB, and grey all the same
    data = tmi.generate("folder", path=tmp_path, support="nonzero", epsilon=0.3, **SMALL)
    assert data.task.image_shape[0] == 1
    assert [int(tile.support.sum()) for tile in data.task.tiles] == [5, 5]
    assert all(tile.support.all() for tile in tmi.generate("folder", path=tmp_path, **SMALL).task.tiles)


def test_a_number_of_tiles_is_drawn(tmp_path):
    for i in range(8):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", picture(i))
    chosen = [
        tmi.generate("folder", path=tmp_path, tiles_per_class=2, seed=seed, **SMALL).notes["tile_pictures"] for seed in range(5)
    ]
    assert all([name[0] for name in names] == list("aabb") for names in chosen)
    assert len({tuple(names) for names in chosen}) > 1


def test_plain_images(mixed):
    save(mixed / "grey" / "d.png", picture(5, (9, 3)))
    data = tmi.generate("folder", path=mixed, tiles=False, size=4, test_share=0.5)
    assert type(data.task) is tmi.LabelledTask
    assert data.task.class_names == ("colour", "grey")
    assert data.train.images.shape == data.test.images.shape == (2, 3, 4, 4)
    assert sorted(data.train.labels.tolist()) == sorted(data.test.labels.tolist()) == [0, 1]  # stratified
    assert data.notes == {"format": "folders", "pictures": {"colour": 2, "grey": 2}}
    network = tmi.build("cnn", data, filters=2, kernel=2, epochs=1)
    assert tmi.probe("accuracy", network, data).applicable
    with pytest.raises(tmi.InputError, match=r"network 'theorem1' of plug-in .*: needs tiles, and the images have no tiles"):
        tmi.build("theorem1", data)


def test_plain_images_keep_their_pixels_and_show_on_black(tmp_path):
    rgba = picture(0, (4, 4, 4))
    for i in range(4):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", (rgba + i).astype(np.uint8))
    data = tmi.generate("folder", path=tmp_path, tiles=False, test_share=0.5)
    shown = {(image * 255).round().numpy().astype(int).tobytes() for part in (data.train, data.test) for image in part.images}
    values = [(rgba + i).astype(np.uint8) / 255 for i in range(4)]
    on_black = [(rgba[..., :3] * rgba[..., 3:]).transpose(2, 0, 1).astype(np.float32) for rgba in values]
    assert shown == {(image * 255).round().astype(int).tobytes() for image in on_black}


def test_a_csv(tmp_path, mixed):
    file = tmp_path / "list.csv"
    file.write_text("who,file,class\nme,pictures/colour/a.png,x\nme,pictures/grey/c.png,y\n")
    data = tmi.generate("folder", path=file, **SMALL)
    assert data.task.class_names == ("x", "y")
    assert data.notes["tile_pictures"] == ["pictures/colour/a.png", "pictures/grey/c.png"]
    before = which_pictures(path=file)
    save(mixed / "grey" / "c.png", picture(9))
    assert which_pictures(path=file) != before  # the pictures are part of the key, though the CSV is the same
    assert which_pictures(path=mixed) == {}


@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "b1"])
def test_an_npz(tmp_path, kind):
    rng = np.random.default_rng(0)
    top = {"u1": 255, "u2": 65535, "f4": 1, "b1": 1}[kind]
    images = (rng.random((6, 4, 4)) * top if kind == "f4" else rng.integers(0, top + 1, (6, 4, 4))).astype(kind)
    np.savez(tmp_path / "x.npz", images=images, labels=np.array([10, 9, 10, 9, 10, 9]))
    data = tmi.generate("folder", path=tmp_path / "x.npz", tiles_per_class=1, **SMALL)
    assert data.task.class_names == ("9", "10")
    number = int(data.notes["tile_pictures"][0].rpartition(" ")[2])
    assert np.array_equal(data.task.tiles[0].values, images[None, number].astype(np.float64) / top)


def test_idx_files_keep_their_split(tmp_path):
    parts = {"train": 6, "t10k": 4}
    for k, (part, count) in enumerate(parts.items()):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(picture(k, (count, 5, 4)))))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(encode((np.arange(count) % 2).astype(np.uint8)))
    data = tmi.generate("folder", path=tmp_path, tiles=False)
    assert (len(data.train), len(data.test)) == (6, 4)
    with pytest.raises(tmi.InputError, match="test_share: the files say which images are for tests"):
        tmi.generate("folder", path=tmp_path, tiles=False, test_share=0.5)
    assert np.array_equal(data.test.images[:, 0].numpy(), picture(1, (4, 5, 4)).astype(np.float32) / 255)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encode(picture(0, (6, 5, 4))))  # unpacked, and the packed one kept
    for kind in ("images", "labels"):
        for file in tmp_path.glob(f"t10k-{kind}-*"):
            file.rename(tmp_path / file.name.replace("t10k", "letters-test"))
    data = tmi.generate("folder", path=tmp_path, tiles=False)
    assert (len(data.train), len(data.test)) == (6, 4)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        (SMALL, "2a1b242adf8a4a8e"),
        (SMALL | {"size": 5, "background": "pink", "support": "nonzero"}, "a02e31213c1266fe"),
        ({"tiles": False, "size": 5, "test_share": 0.5}, "7793a36897ea140c"),
    ],
)
def test_images_are_the_same_on_every_machine(tmp_path, settings, digest, threads):
    for i in range(8):
        values = (np.arange(9 * 7 * 4) * (2 * i + 3) + 40 * i) % 251
        save(tmp_path / "ab"[i % 2] / f"{i}.png", values.astype(np.uint8).reshape(9, 7, 4))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        data = tmi.generate("folder", seed=3, path=tmp_path, **settings)
        parts = [part.numpy() for scenes in (data.train, data.test) for part in (scenes.images, scenes.labels)]
    finally:
        torch.set_num_threads(before)
    assert hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16] == digest


def bad(name, make, message, **settings):
    return pytest.param(make, message, settings, id=name)


def truncated(root):
    file = root / "grey" / "c.png"
    file.write_bytes(file.read_bytes()[:60])


def copied(root):
    shutil.copy(root / "colour" / "b.tif", root / "grey" / "z.tif")


def twice(root):
    shutil.copy(root / "colour" / "b.tif", root / "colour" / "z.tif")


def animated(root):
    frames = [Image.fromarray(picture(i)) for i in range(2)]
    frames[0].save(root / "grey" / "z.gif", save_all=True, append_images=frames[1:])


def transparent(root):
    save(root / "grey" / "z.png", np.zeros((3, 3, 4), np.uint8))


def emptied(root):
    shutil.rmtree(root / "grey")
    (root / "grey").mkdir()


BAD = [
    bad("truncated", truncated, "grey/c.png: cannot be read as a picture"),
    bad("animated", animated, "grey/z.gif: has 2 frames"),
    bad("equal", copied, r"another class.*; colour/1 is .*colour/b.tif, grey/1 is .*grey/z.tif|grey/1 is .*colour/1 is"),
    bad("equal-epsilon", copied, "cannot be told apart: .*b.tif.*z.tif|cannot be told apart: .*z.tif.*b.tif", epsilon=1.0),
    bad("equal-plain", copied, "z.tif: is the same picture as .*b.tif, which is of another class", tiles=False, size=4),
    bad("equal-in-class", twice, "z.tif: its tile equals that of .*b.tif"),
    bad("transparent", transparent, "grey/z.png: no pixel is of at least half opacity"),
    bad("no-picture", lambda root: (root / "grey" / "a.txt").touch(), "grey/a.txt: is no picture"),
    bad("folder-in-folder", lambda root: (root / "grey" / "sub").mkdir(), "grey/sub: is a folder"),
    bad("stray", lambda root: shutil.copy(root / "colour" / "a.png", root), "a.png: is a picture outside of the folders"),
    bad("empty-class", emptied, "grey: holds no picture"),
    bad("one-class", lambda root: shutil.rmtree(root / "grey"), "of class 'colour'; a task needs at least two"),
    bad("too-large", lambda root: None, "b.tif: 4×7 pixels do not fit into images of 6×6", image_size=6),
    bad("huge", lambda root: save(root / "grey" / "z.png", picture(0, (2, 1030))), "z.png: is 2×1030 pixels; set size"),
    bad("few", lambda root: None, "class 'grey' has only 1 of 2 pictures", tiles_per_class=2),
    bad("sizes", lambda root: None, "b.tif: is 4×7 pixels, and .*a.png 6×5; set size", tiles=False),
    bad("no-split", lambda root: None, "c.png: is the only picture of its class", tiles=False, size=4),
    bad(
        "no-tests",
        lambda root: save(root / "grey" / "d.png", picture(8)),
        "test_share: 0 of 4",
        tiles=False,
        size=4,
        test_share=0,
    ),
]


@pytest.mark.parametrize(("make", "message", "settings"), BAD)
def test_bad_folders(mixed, make, message, settings):
    make(mixed)
    with pytest.raises(tmi.TmiError, match=message) as caught:
        tmi.generate("folder", path=mixed, **(SMALL if settings.get("tiles", True) else {}) | settings)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_run_names_the_fault_of_each_bad_folder(mixed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = [f"path = {str(mixed)!r}\n"]
    for case in BAD:
        make, _, settings = case.values
        shutil.copytree(mixed, tmp_path / case.id)
        make(tmp_path / case.id)
        settings = (SMALL if settings.get("tiles", True) else {}) | settings
        sets.append(f"path = {case.id!r}\n" + "".join(f"{name} = {str(value).lower()}\n" for name, value in settings.items()))
    names = ["good", *(case.id for case in BAD)]
    tables = [f'[datasets.{name}]\nuse = "folder"\n{content}' for name, content in zip(names, sets, strict=True)]
    parts = '[networks.n]\nuse = "theorem1"\n[probes.p]\nuse = "accuracy"\n'
    (tmp_path / "suite.toml").write_text("\n".join(tables) + parts)
    lines = call("run", "suite.toml", "--store", "store", code=1).stderr.splitlines()
    for case in BAD:
        expected = rf"failed: {case.id}/n/p seed 0: .*(?:{case.values[1]})"
        assert sum(bool(re.search(expected, line)) for line in lines) == 1, case.id
    assert not any("failed: good" in line for line in lines)


OF_TILES = {
    "tiles_per_class": 1,
    "support": "nonzero",
    "epsilon": 1.0,
    "image_size": 9,
    "background": "pink",
    "paste": "rectangle",
    "samples": 12,
    "test_samples": 6,
}


@pytest.mark.parametrize("name", [*OF_TILES, "test_share"])
def test_a_setting_without_effect_is_refused(mixed, name):
    tiles = name == "test_share"
    message = f"{name}: is a setting of tiles = {'false' if tiles else 'true'}"
    with pytest.raises(tmi.InputError, match=message):
        tmi.generate("folder", path=mixed, tiles=tiles, **{name: (OF_TILES | {"test_share": 0.5})[name]})


def test_settings_without_effect_may_have_their_defaults(mixed):
    save(mixed / "grey" / "d.png", picture(5, (9, 3)))
    defaults = {name: parameter.default for name, parameter in parameters(folder).items() if name in OF_TILES}
    assert set(defaults) == set(OF_TILES)
    data = tmi.generate("folder", path=mixed, tiles=False, size=4, test_share=0.5, **defaults)
    assert len(data.test) == 2
    assert len(tmi.generate("folder", path=mixed, test_share=0.2, **SMALL).test) == 6


def test_other_bad_paths(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "x.txt"
    text.touch()
    lists = {
        "a.csv": ("name,class\nx,y\n", "a.csv: has no column file; its first line is 'name,class'"),
        "b.csv": ("file,class\nx.png,y\n", "b.csv, line 2: there is no file .*x.png"),
        "c.csv": ("file,class\nx.txt\n", "c.csv, line 2: names no class"),
        "d.csv": ("file,class\n", "d.csv: names no picture"),
        "e.csv": ("file,class\nx.txt,1\nx.txt,2\n", "e.csv: names .*x.txt more than once"),
    }
    for name, (content, _) in lists.items():
        (tmp_path / name).write_text(content)
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 3)))
    np.savez(tmp_path / "b.npz", images=np.zeros((2, 3, 3)), labels=np.array([{}, 1], object))
    np.savez(tmp_path / "c.npz", images=np.full((2, 3, 3), 2.0), labels=[0, 1])
    np.savez(tmp_path / "d.npz", images=np.zeros((2, 3)), labels=[0, 1])
    np.savez(tmp_path / "e.npz", images=np.zeros((2, 3, 3), np.int64), labels=[0, 1])
    np.savez(tmp_path / "f.npz", images=np.zeros((2, 3, 3)), labels=[0.5, 1])
    (tmp_path / "g.npz").write_bytes(b"PK")
    cases = {
        "empty": "empty: is empty; expected a folder for each class",
        "x.txt": "x.txt: expected a folder for each class",
        **{name: message for name, (_, message) in lists.items()},
        "a.npz": "a.npz: has no array labels; it has images",
        "b.npz": "b.npz: cannot be read as NPZ .*allow_pickle=False",
        "c.npz": "c.npz: images: values are NaN or outside",
        "d.npz": r"d.npz: images: expected shape \(N, m, n\)",
        "e.npz": "e.npz: images: expected uint8",
        "f.npz": "f.npz: labels: expected whole numbers or text",
        "g.npz": "g.npz: cannot be read as NPZ",
        "missing": "there is no file or folder .*missing",
    }
    for name, message in cases.items():
        with pytest.raises(tmi.TmiError, match=message) as caught:
            tmi.generate("folder", path=tmp_path / name)
        assert "\n" not in str(caught.value)
