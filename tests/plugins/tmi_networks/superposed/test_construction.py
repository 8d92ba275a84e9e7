from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.strategies import images_of
from tmi_networks import reference
from tmi_networks.superposed import active_detectors, superposed
from tmi_networks.theorem1 import theorem1

from ..expected import input_gradient
from .conftest import tasks


@pytest.fixture(scope="module")
def images(small):
    """Random pixels, and each tile at a random place: exactly, changed to just below ε, and to just above."""
    rng = np.random.default_rng(0)
    parts = [rng.random((4, *small.image_shape))]
    for number, tile in enumerate(small.tiles):
        row, col = rng.integers(0, small.windows[number])
        for distance in (0, tile.epsilon * (1 - 1e-9), tile.epsilon * (1 + 1e-9), tile.epsilon * 1.5):
            image = rng.random((1, *small.image_shape))
            room = np.where(tile.values < 0.5, 1 - tile.values, -tile.values)
            image[0, :, row : row + tile.shape[1], col : col + tile.shape[2]] = tile.values + room * distance / np.abs(room).sum()
            parts.append(image)
    return torch.from_numpy(np.concatenate(parts))


@pytest.mark.parametrize("realisation", ["fused", "literal"])
@pytest.mark.parametrize("code", ["binary", "dense"])
def test_layers_are_those_of_the_reference(small, images, realisation, code):
    network = superposed(small, neurons=6, seed=0, code=code, realisation=realisation)
    found = network.activations(images)
    assert list(found) == [*(["conv"] if realisation == "literal" else []), "hidden", "mixed", "decoded", "logits"]
    codes = torch.from_numpy(network.directions("mixed").matrix)
    expected = reference.superposed(small, images, codes, network.module.beta)
    assert found["mixed"].shape == (len(images), 6, 4, 2)
    inside = torch.zeros(8, 4, 2, dtype=torch.bool)  # where each tile has a window
    for tile, (rows, cols) in enumerate(small.windows):
        inside[tile, :rows, :cols] = True
    for layer in ("hidden", "decoded"):
        assert not expected[layer][:, ~inside].any()
        expected[layer] = expected[layer][:, inside]
    for layer in ("hidden", "mixed", "decoded", "logits"):
        torch.testing.assert_close(found[layer], expected[layer], rtol=0, atol=1e-12)
    least = reference.superposed(small, images, codes)["logits"]
    torch.testing.assert_close(found["logits"], least, rtol=0, atol=1e-12)
    torch.testing.assert_close(found["logits"], small.phi(images), rtol=0, atol=1e-12)
    assert torch.equal(found["logits"] > 0, small.phi(images) > 0)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_realisations_agree_with_the_reference_and_their_gradients_with_each_other_also_where_the_network_errs(data):
    task = data.draw(tasks(least=6, most=7))
    images = data.draw(images_of(task, min_images=1, dtype=torch.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        built = [superposed(task, neurons=5, seed=1, realisation=kind, approximate=True) for kind in ("fused", "literal")]
    codes = torch.from_numpy(built[0].directions("mixed").matrix)
    expected = reference.superposed(task, images, codes, built[0].module.beta)
    upstream = torch.ones(1, 1, dtype=torch.float64)
    gradients = [input_gradient(network.module, images, upstream) for network in built]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-9)
    for network in built:
        torch.testing.assert_close(network.logits(images), expected["logits"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("realisation", ["fused", "literal"])
def test_gradients_are_those_of_theorem_1_at_kinks_too(small, images, realisation):
    networks = superposed(small, neurons=6, seed=0, realisation=realisation), theorem1(small, realisation=realisation)
    upstream = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    gradients = [input_gradient(network.module, images, upstream) for network in networks]
    assert gradients[1].abs().sum() > 10
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("realisation", ["fused", "literal"])
def test_all_other_logits_are_exactly_0(small, images, realisation, dtype):
    pasted = images[4::4].to(dtype)
    logits = superposed(small, neurons=6, seed=0, realisation=realisation).logits(pasted)
    labels = small.labels(pasted)
    assert (labels >= 0).all()
    assert (logits.gather(1, labels[:, None]) > 0).all()
    assert ((logits != 0).sum(1) == 1).all()
    assert logits.dtype == dtype


def test_meanings_and_directions(small):
    network = superposed(small, neurons=6, seed=0)
    columns = network.neurons("decoded")
    assert columns.equals(theorem1(small).neurons("hidden"))
    assert network.neurons("hidden").equals(columns)
    assert network.neurons("mixed") is None
    directions = network.directions("mixed")
    assert directions.by_place
    assert directions.matrix.shape == (8, 6)
    assert directions.features["class"].tolist() == ["one"] * 4 + ["other"] * 4
    assert directions.features["tile"].tolist() == list(range(8))
    # What the directions say is what the layer does: activations of the detectors times the directions.
    image = np.zeros(small.image_shape)
    image[:, 1:4, 1:4] = small.tiles[2].values
    mixed = network.activations(image[None], "mixed")["mixed"][0, :, 1, 1]
    np.testing.assert_allclose(mixed, (0.25 + network.module.beta) * directions.matrix[2])
    assert superposed(small, neurons=6, seed=0, show_hidden=False).layers == ("mixed", "decoded", "logits")


def test_explanation_certificate_and_weights_work_as_for_the_others(small, images, tmp_path):
    network, other = superposed(small, neurons=6, seed=0), theorem1(small)
    explanation = network.explain(images[4])
    assert explanation.neurons["layer"].unique().tolist() == ["decoded"]
    assert explanation.neurons["activation"].tolist() == other.explain(images[4]).neurons["activation"].tolist()
    assert torch.equal(network.certificate(images), other.certificate(images))
    network.save_weights(tmp_path / "net.safetensors")
    network.load_weights(tmp_path / "net.safetensors")
    with pytest.raises(tmi.InputError, match="is not that of"):
        superposed(small, neurons=6, seed=1).load_weights(tmp_path / "net.safetensors")


@pytest.mark.slow
def test_export(small, images, tmp_path):
    network = superposed(small, neurons=6, seed=0)
    network.export(tmp_path / "net.pt2", dtype="float64")
    program = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(program(images), network.logits(images), rtol=0, atol=1e-12)
    for realisation in ("fused", "literal"):
        other = superposed(small, neurons=40, seed=0, scope="layer", realisation=realisation)
        with pytest.raises(tmi.InputError, match="torch cannot trace") as error:
            other.export(tmp_path / "net.pt2")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("realisation", ["fused", "literal"])
def test_codes_for_the_whole_layer_are_exact_where_one_detector_is_active(small, images, realisation):
    network = superposed(small, neurons=40, seed=0, scope="layer", realisation=realisation)
    both = torch.rand(1, *small.image_shape, dtype=torch.float64)
    both[0, :, 2:4, 1:], both[0, :, :2, :3] = (torch.tensor(small.tiles[7].values) for _ in range(2))
    images = torch.cat([images, both])
    count = active_detectors(network, images)
    hidden = network.activations(images, "hidden")["hidden"]
    assert torch.equal(count, (hidden > 0).sum(1))
    alone = count <= 1
    assert 10 < alone.sum() < len(images)
    torch.testing.assert_close(network.logits(images)[alone], small.phi(images)[alone], rtol=0, atol=1e-12)
    directions = network.directions("mixed")
    assert not directions.by_place
    assert list(directions.features) == ["tile", "class", "row", "col"]
    assert directions.sparse.shape == (hidden.shape[1], 40)
    torch.testing.assert_close(network.activations(images, "mixed")["mixed"], hidden @ torch.from_numpy(directions.matrix))
    with pytest.raises(tmi.InputError, match="are not φ of its task"):
        network.certificate(images)


def test_the_stated_weights_are_those_that_the_layers_compute_with(small, images):
    network = superposed(small, neurons=6, seed=0, realisation="literal")
    activations = network.activations(images)
    written, read = network.module.mixed[0], network.module.decoded[1]
    mixed = activations["hidden"] @ written.sparse_weight().to_dense().T
    torch.testing.assert_close(mixed.view_as(activations["mixed"]), activations["mixed"])
    torch.testing.assert_close((mixed @ read.sparse_weight().to_dense().T + read.bias).relu(), activations["decoded"])


def test_an_approximate_network_says_by_how_much_it_can_err(small):
    wide = tmi.TemplateTask([tmi.TileClass("all", [tile.with_epsilon(1.0) for tile in small.tiles])], small.image_shape)
    with pytest.warns(UserWarning, match=r"a logit can be up to .* above φ"):
        network = superposed(wide, neurons=6, seed=0, approximate=True)
    assert network.module.bound.shape == (1,)
    assert not network.module.computes_phi
    with pytest.raises(tmi.InputError, match="are not φ of its task"):
        network.certificate(torch.rand(1, *wide.image_shape))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        superposed(small, neurons=6, seed=0, approximate=True)


def test_neurons_are_given_as_a_number_or_as_tiles_a_neuron(small):
    assert superposed(small, tiles_per_neuron=4, seed=0).directions("mixed").matrix.shape == (8, 6)
    assert superposed(small, seed=0).directions("mixed").matrix.shape == (8, 5)
    assert superposed(small, code="dense", neurons=5, seed=0).directions("mixed").matrix.shape == (8, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neurons": 8}, r"8 neurons are not fewer than the 8 tiles; take at most 7$"),
        ({"neurons": 4}, r"no 8 different sets of 3 of 4 neurons; take at least 5 neurons$"),
        ({"neurons": 6, "tiles_per_neuron": 4.0}, r"both given"),
        ({"tiles_per_neuron": 3.0}, r"takes no fewer neurons than tiles"),
        ({"tiles_per_neuron": 4.0, "code": "dense"}, r"give neurons"),
        ({"neurons": 6, "scope": "image"}, r"scope.*place.*layer"),
        ({"neurons": 1, "code": "dense"}, r"at least 2 neurons"),
        ({"neurons": 6, "realisation": "literal", "memory": 1e-6}, r"superposed: the literal layers .* need"),
        ({"neurons": 6, "memory": 1e-6}, r"need .* GB, more than memory"),
        ({"neurons": 100000, "scope": "layer"}, r"not fewer than the 50 pairs of tile and place"),
    ],
)
def test_bad_settings_are_errors_of_one_line(small, settings, message):
    with pytest.raises(tmi.InputError, match=message) as error:
        tmi.build("superposed", small, seed=0, **settings)
    assert "\n" not in str(error.value)


def test_few_tiles_have_no_code():
    squares = tmi.generate("squares", seed=0, samples=1, test_samples=1)
    for setting in ({}, {"code": "dense"}, {"neurons": 1}):
        with pytest.raises(tmi.InputError, match=r"2 tiles are too few to share neurons; superposition needs at least 3$"):
            tmi.build("superposed", squares, seed=0, **setting)


@pytest.mark.parametrize(
    ("tiles", "remedy"), [(3, 'take code = "dense"'), (4, 'take code = "dense"'), (5, "take weight = 2, or code")]
)
def test_the_advice_for_few_tiles_can_be_followed(tiles, remedy):
    values = np.random.default_rng(0).random((tiles, 3, 3))
    task = tmi.TemplateTask([tmi.TileClass("all", [tmi.FeatureTile(value, 0.01) for value in values])], (1, 3, 3))
    with pytest.raises(tmi.InputError, match=f"; {remedy}"):
        tmi.build("superposed", task, seed=0)
    assert superposed(task, seed=0, code="dense").module.computes_phi
    if "weight" in remedy:
        assert superposed(task, seed=0, weight=2).module.computes_phi


def test_by_default_tiles_share_one_neuron_where_a_search_finds_such_codes():
    """11 neurons have 17 triples of which two share one, though the bound is 18; and with two shared this task has no network."""
    tiles = [tmi.FeatureTile(value, 0.6) for value in np.random.default_rng(0).random((18, 1, 3, 3))]
    task = tmi.TemplateTask([tmi.TileClass("all", tiles)], (1, 4, 4))
    network = superposed(task, seed=0)
    assert network.directions("mixed").matrix.shape == (18, 12)
    assert network.module.computes_phi
    with pytest.raises(tmi.InputError, match="11 neurons cannot tell"):
        superposed(task, seed=0, neurons=11)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "layer", "code": "dense", "neurons": 40, "memory": 1e-4}, "the layers need 0.000128 GB.* take fewer neurons"),
        ({"scope": "layer", "code": "dense", "neurons": 2, "memory": 5e-5}, "a dense code of 50 features takes 8e-05 GB"),
        ({"scope": "layer", "memory": 5e-6}, "the layers need 9.6e-06 GB.* take less weight"),
        ({"realisation": "literal", "memory": 1e-6}, "the literal layers of .* need"),
    ],
)
def test_memory_is_checked_before_a_code_is_made(small, monkeypatch, settings, message):
    for name in ("binary_code", "dense_code"):
        monkeypatch.setattr(f"tmi_networks.superposed.codes.{name}", lambda *_: pytest.fail("made"))
    with pytest.raises(tmi.InputError, match=message):
        superposed(small, seed=0, **settings)
