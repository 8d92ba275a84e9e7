import subprocess
import sys

import numpy as np
import pytest
import torch

import tmi
from tmi.errors import TmiError
from tmi_datasets.fashion import fashion, which_images
from tmi_datasets.sources import fashion_mnist
from tmi_datasets.sources.fashion_mnist import CHECKSUMS, CLASS_NAMES, load, locate

SMALL = {"samples": 60, "test_samples": 30, "source": "sample"}


def generate(seed=0, **given):
    return tmi.generate("fashion", seed=seed, **(SMALL | given))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tiles_per_class": 3, "paste": "support"},
        {"tiles_per_class": 3, "background": "constant"},
        {"background": "constant", "paste": "support"},
        {"image_size": 28},
        {"image_size": 33, "epsilon": 20.0, "tiles_per_class": 2},
    ],
)
def test_labels_are_exact(seed, given):
    data = generate(seed, **given)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)


def test_is_what_section_6_2_says():
    data = generate(tiles_per_class=2)
    assert data.train.images.shape == (60, 1, 40, 40)
    assert data.train.images.dtype == torch.float32
    assert data.task.class_names == CLASS_NAMES
    assert [len(one.tiles) for one in data.task.classes] == [2] * 10
    for tile in data.task.tiles:
        assert tile.shape == (1, 28, 28)
        assert tile.epsilon == 5
        np.testing.assert_array_equal(tile.support, tile.values != 0)


def test_one_window_is_active_in_every_image():
    data = generate(tiles_per_class=10, samples=300)
    found = tmi.match(data.train.images, data.task.tiles)
    assert torch.equal(found.image, torch.arange(300))
    for name in ("tile", "row", "col"):
        assert torch.equal(getattr(found, name), getattr(data.train, name))
    assert (found.slack == 5).all()


def test_tiles_are_images_of_their_class():
    data = generate(tiles_per_class=3)
    images, labels = load(locate("sample"))
    chosen = data.notes["tile_images"]
    assert len(set(chosen)) == 30
    np.testing.assert_array_equal(labels[chosen], data.task.tile_class)
    np.testing.assert_array_equal([tile.values[0] for tile in data.task.tiles], images[chosen] / 255)


def test_notes_name_the_source():
    notes = generate().notes
    assert notes["source"] == "sample"
    assert notes["sha256"] == CHECKSUMS["sample"]


def test_seed():
    one, same, other = generate(1), generate(1), generate(2)
    assert torch.equal(one.train.images, same.train.images)
    assert torch.equal(one.test.images, same.test.images)
    assert one.notes == same.notes
    assert one.notes["tile_images"] != other.notes["tile_images"]
    assert not torch.equal(one.train.backgrounds, other.train.backgrounds)


def test_training_size_does_not_change_the_test_set():
    small, large = generate(samples=10), generate(samples=70)
    assert torch.equal(small.test.images, large.test.images)
    assert not torch.equal(small.train.backgrounds, small.test.backgrounds[:10])


def test_a_larger_number_of_tiles_keeps_the_first():
    few, many = (np.reshape(generate(tiles_per_class=k).notes["tile_images"], (10, k)) for k in (2, 5))
    np.testing.assert_array_equal(many[:, :2], few)


def test_rectangle_and_support():
    whole, part = generate(paste="rectangle"), generate(paste="support")
    for data in (whole, part):
        for i in range(10):
            tile = data.task.tiles[data.train.tile[i]]
            row, col = int(data.train.row[i]), int(data.train.col[i])
            expected = data.train.backgrounds[i].clone().numpy()
            window = expected[:, row : row + 28, col : col + 28]
            covered = tile.support if data is part else np.ones_like(tile.support)
            window[covered] = tile.values[covered]
            np.testing.assert_array_equal(data.train.images[i], expected)
            mask = np.zeros((40, 40), bool)
            mask[row : row + 28, col : col + 28] = tile.support[0]
            np.testing.assert_array_equal(data.train.masks[i], mask)


def test_backgrounds():
    uniform, grey = (generate(background=name).train.backgrounds.flatten(1) for name in ("uniform", "constant"))
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert float(uniform.std(1).min()) > 0.25
    assert float(grey.std(1).max()) < 1e-6
    assert float(grey[:, 0].std()) > 0.2


@pytest.mark.parametrize("epsilon", [20.0, 40.0])
def test_tiles_are_apart(epsilon):
    tiles = generate(epsilon=epsilon, tiles_per_class=5).task.tiles
    distances = [one.distance(other.values) for one in tiles for other in tiles if one is not other]
    assert min(distances) > epsilon


def test_candidates_that_are_too_near_are_passed_over():
    """Fewer than all the sample's images are 25 apart: the classes do not always take their first candidates."""
    free, strict = (generate(tiles_per_class=20, epsilon=epsilon, samples=1, test_samples=1) for epsilon in (0.1, 25.0))
    assert free.notes["tile_images"] != strict.notes["tile_images"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"epsilon": 300.0}, r"class '.*': no image left in the shipped sample .* epsilon = 300 .* smaller epsilon"),
        ({"tiles_per_class": 101}, r"tiles_per_class: 101 .* shipped sample .* holds 100 a class; for the full set install"),
        ({"tiles_per_class": 0}, "tiles_per_class"),
        ({"tiles_per_class": True}, "tiles_per_class"),
        ({"image_size": 27}, "image_size"),
        ({"samples": 0}, "samples"),
        ({"test_samples": 1.5}, "test_samples"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": float("inf")}, "epsilon"),
        ({"paste": "mask"}, "paste"),
        ({"source": 3}, "source"),
        ({"tile_per_class": 3}, 'did you mean "tiles_per_class"'),
    ],
)
def test_bad_settings(given, what):
    with pytest.raises(tmi.InputError, match=what) as caught:
        generate(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("law", "what"),
    [
        ("constan", "did you mean .constant."),
        ("constant(gray=0.5)", "did you mean .grey."),
        ("constant(grey=2)", "grey"),
        ("constant(0.5)", "expected a name, or a name with settings"),
        (0.5, "background"),
    ],
)
def test_bad_backgrounds(law, what):
    with pytest.raises(TmiError, match=what) as caught:
        generate(background=law)
    assert "\n" not in str(caught.value)


def test_a_bad_source_is_a_bad_data_file(tmp_path):
    with pytest.raises(tmi.DataFileError, match="holds no train-images-idx3-ubyte"):
        generate(source=str(tmp_path))


def test_the_key_knows_which_images_will_be_used(monkeypatch, tmp_path):
    monkeypatch.delenv(fashion_mnist.VARIABLE, raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDERS", ())
    without = which_images(source="auto", tiles_per_class=3)
    for name in CHECKSUMS["full"]:
        (tmp_path / name).touch()  # what is in them is not looked at yet
    monkeypatch.setenv(fashion_mnist.VARIABLE, str(tmp_path))
    found = which_images(source="auto", tiles_per_class=3)
    assert without == {"source": "sample", "sha256": CHECKSUMS["sample"]}
    assert found == {"source": "full", "sha256": CHECKSUMS["full"]}
    assert fashion.tmi_external is which_images


def test_importing_and_identifying_costs_no_heavy_library():
    code = (
        "import sys, tmi_datasets.fashion as f, tmi_datasets.squares; f.which_images(source='sample');"
        "print([m for m in ('torch', 'sklearn', 'numba', 'scipy', 'matplotlib', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["fashion", "squares"])
def test_every_setting_is_described(name):
    from tmi.params import parameters
    from tmi_datasets.squares import squares

    for parameter in parameters({"fashion": fashion, "squares": squares}[name]).values():
        assert len(parameter.text) > 15, parameter.name


@pytest.mark.parametrize("tiles_per_class", [1, 3])
def test_auto_epsilon(tiles_per_class):
    data = generate(3, tiles_per_class=tiles_per_class, epsilon="auto")
    half = data.task.separation().epsilon / 2
    (epsilon,) = {tile.epsilon for tile in data.task.tiles}
    assert epsilon <= half
    if tiles_per_class == 1:
        assert epsilon == half
    # No tile contains another, whatever its class.
    found = tmi.match(np.stack([tile.values for tile in data.task.tiles]), data.task.tiles)
    assert torch.equal(found.image, found.tile)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
    assert data.params["epsilon"] == "auto"


@pytest.mark.parametrize("wrong", ["aut", "half", 0, -1, True, float("nan")])
def test_epsilon_is_a_number_or_auto(wrong):
    with pytest.raises(tmi.InputError, match="epsilon: "):
        generate(epsilon=wrong)
