from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.plugins.tmi_networks.expected import (
    EXACT,
    class_sums,
    hidden_by_formula,
    input_gradient,
)
from tests.strategies import images_of, tasks
from tmi_networks.theorem1 import theorem1

REALISATIONS = ["fused", "literal"]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fused_literal_formula_and_phi_agree_in_values_and_gradients(data):
    task = data.draw(tasks())
    images = data.draw(images_of(task))
    tolerance = {"atol": EXACT[images.dtype], "rtol": 0}
    hidden = hidden_by_formula(images, task)
    draw = np.random.default_rng(data.draw(st.integers(0, 9)))
    to_hidden = torch.from_numpy(draw.integers(-3, 4, hidden.shape)).to(images.dtype)
    to_logits = torch.from_numpy(draw.integers(-3, 4, (len(images), len(task.classes)))).to(images.dtype)
    expected = (
        input_gradient(lambda x: hidden_by_formula(x, task), images, to_hidden),
        input_gradient(lambda x: class_sums(hidden_by_formula(x, task), task), images, to_logits),
    )
    for realisation in REALISATIONS:
        network = theorem1(task, realisation=realisation)
        seen = network.activations(images)
        assert seen["hidden"].dtype == seen["logits"].dtype == images.dtype
        torch.testing.assert_close(seen["hidden"], hidden, **tolerance)
        torch.testing.assert_close(seen["logits"], task.phi(images), **tolerance)
        up_to_hidden = network.module[:-1]
        torch.testing.assert_close(input_gradient(up_to_hidden, images, to_hidden), expected[0], **tolerance)
        torch.testing.assert_close(input_gradient(network.module, images, to_logits), expected[1], **tolerance)


@settings(max_examples=70, deadline=None)
@given(st.data())
def test_images_of_one_class_have_one_positive_logit_and_the_others_exactly_zero(data):
    task = data.draw(tasks())
    images = data.draw(images_of(task, min_images=1))
    labels = task.labels(images)
    logits = theorem1(task).logits(images)
    for label, row in zip(labels[labels >= 0], logits[labels >= 0], strict=True):
        assert row[label] > 0
        assert all(value == 0 for i, value in enumerate(row) if i != label)


def test_scenes_of_many_classes_are_classified_without_error():
    rng = np.random.default_rng(1)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.random((4, 3)), 0.4) for _ in range(2)]) for i in range(5)]
    task = tmi.TemplateTask(classes, (1, 9, 8))
    scenes = tmi.Scenes.draw(task, 200, rng=rng)
    for realisation in REALISATIONS:
        network = theorem1(task, realisation=realisation)
        logits = network.logits(scenes.images)
        assert (logits.argmax(1) == scenes.labels).all()
        assert ((logits != 0).sum(1) == 1).all()


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_gradcheck_away_from_the_kinks(realisation):
    rng = np.random.default_rng(2)
    one, two = (tmi.FeatureTile(rng.uniform(0.2, 0.8, shape), 0.7) for shape in ((2, 3, 2), (2, 2, 2)))
    task = tmi.TemplateTask([tmi.TileClass("one", [one]), tmi.TileClass("two", [two])], (2, 4, 4))
    scenes = tmi.Scenes.draw(task, 6, rng=rng)
    images = scenes.images.double()
    images = images + torch.from_numpy(rng.choice([-0.04, 0.04], images.shape)) * scenes.masks[:, None]
    images = images.clamp(0.01, 0.99)  # finite differences must stay inside [0, 1]
    hidden = hidden_by_formula(images, task)
    assert ((hidden > 1e-3).sum(1) >= 1).all()
    assert not ((hidden > 0) & (hidden < 1e-3)).any()
    module = theorem1(task, realisation=realisation).module
    assert torch.autograd.gradcheck(module, images.requires_grad_(), eps=1e-6)


@pytest.mark.parametrize("realisation", REALISATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_on_the_kinks_is_minus_one_below_plus_one_nowhere_and_zero_at_black(realisation, dtype):
    # y > c: −1; 0 < y ≤ c: +1; y = 0: 0. The tile 0.3 is rounded differently by the two dtypes.
    tile = tmi.FeatureTile([[0.3, 0.3, 0.3, 0.0, 0.0]], 2.0, np.ones((1, 5), bool))
    task = tmi.TemplateTask([tmi.TileClass("one", [tile])], (1, 1, 5))
    images = torch.tensor([0.3, 0.5, 0.1, 0.0, 0.5], dtype=dtype).view(1, 1, 1, 5)
    gradient = input_gradient(theorem1(task, realisation=realisation).module, images, 1.0)
    assert gradient.flatten().tolist() == [1, -1, 1, 0, -1]


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_an_exact_paste_has_a_saliency_on_exactly_its_support(realisation, task):
    scenes = tmi.Scenes(task, torch.full((1, 1, 4, 5), 0.5), 2, 1, 2)
    gradient = input_gradient(theorem1(task, realisation=realisation).module, scenes.images, torch.tensor([0.0, 1.0]))
    # Black support pixels are at the kink where the derivative is 0; this tile has one at (0, 1) and one at (1, 2).
    shown = scenes.masks & (scenes.images[:, 0] > 0)
    assert torch.equal(gradient[0, 0] != 0, shown[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_tiles_agree_to_rounding(dtype):
    rng = np.random.default_rng(3)
    bright, dark = rng.uniform(0.5, 1, (28, 28)), rng.random((28, 28)) * (rng.random((28, 28)) < 0.5)
    task = tmi.TemplateTask(
        [tmi.TileClass("bright", [tmi.FeatureTile(bright, 20)]), tmi.TileClass("dark", [tmi.FeatureTile(dark, 20)])], (1, 31, 30)
    )
    scenes = tmi.Scenes.draw(task, 12, rng=rng)
    jitter = torch.from_numpy(rng.uniform(-0.02, 0.02, scenes.images.shape)) * scenes.masks[:, None]
    images = (scenes.images.double() + jitter).clamp(0, 1).to(dtype)
    fused, literal = (theorem1(task, realisation=realisation) for realisation in REALISATIONS)
    limit = 1e-4 if dtype == torch.float32 else 1e-9
    one, two = fused.activations(images), literal.activations(images)
    assert (one["hidden"].max(1).values > 1).all()
    for layer in ("hidden", "logits"):
        torch.testing.assert_close(one[layer], two[layer], atol=limit, rtol=0)
    torch.testing.assert_close(one["logits"], task.phi(images), atol=limit, rtol=0)
    gradients = [input_gradient(network.module, images, torch.ones(2, dtype=dtype)) for network in (fused, literal)]
    torch.testing.assert_close(*gradients, atol=limit, rtol=0)
    assert gradients[0].abs().sum() > 1000


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_named_layers_end_after_their_relu(realisation, task, images):
    network = theorem1(task, realisation=realisation)
    assert all((seen >= 0).all() for seen in network.activations(images).values())
    assert network.origin == "constructed"


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_batches_change_nothing(realisation, task, images):
    network = theorem1(task, realisation=realisation)
    whole = network.activations(images)
    for layer, seen in network.activations(images, batch_size=1).items():
        assert torch.equal(seen, whole[layer])
    empty = network.activations(images[:0])
    assert {layer: len(seen) for layer, seen in empty.items()} == dict.fromkeys(network.layers, 0)
    assert input_gradient(network.module, images[:0], 1.0).shape == (0, 1, 4, 5)


def test_work_in_small_pieces_changes_nothing(task, images, monkeypatch):
    upstream = torch.tensor([1.0, -2.0])
    networks = [theorem1(task, realisation=realisation) for realisation in REALISATIONS]
    whole = [input_gradient(network.module, images, upstream) for network in networks]
    monkeypatch.setattr("tmi_networks.fused._PIXELS_AT_ONCE", 1)
    monkeypatch.setattr("tmi_networks.theorem1.literal._NUMBERS_AT_ONCE", 1)
    for network, expected in zip(networks, whole, strict=True):
        assert torch.equal(input_gradient(network.module, images, upstream), expected)


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_strided_images_are_read_as_they_are(realisation, task, images):
    module = theorem1(task, realisation=realisation).module
    turned = images.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(module(turned), module(images))
    upstream = torch.tensor([1.0, -2.0])
    assert torch.equal(input_gradient(module, turned, upstream), input_gradient(module, images, upstream))


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_the_module_itself_refuses_bad_images(realisation, task, images):
    module = theorem1(task, realisation=realisation).module
    for bad, message in (
        (images - 0.1, "outside"),
        (images.where(images > 0, torch.nan), "NaN"),
        (images[:, :, :3], "expected"),
        ((images * 255).byte(), "float32"),
    ):
        with pytest.raises(tmi.InputError, match=message):
            module(bad)


def test_built_by_name_from_a_dataset_without_touching_global_random_numbers(task):
    scenes = tmi.Scenes.draw(task, 5, rng=np.random.default_rng(0))
    data = tmi.Dataset(task, scenes, scenes)
    for realisation in REALISATIONS:
        torch.manual_seed(0)
        before = torch.get_rng_state()
        direct = theorem1(data, realisation=realisation)
        assert torch.equal(torch.get_rng_state(), before)
        named = tmi.build("theorem1", data, realisation=realisation)
        assert named.params["realisation"] == realisation
        assert torch.equal(named.logits(scenes.images), direct.logits(scenes.images))
    with pytest.raises(tmi.InputError, match="realisation"):
        tmi.build("theorem1", task, realisation="fuse")


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_no_warnings(realisation, task, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        input_gradient(theorem1(task, realisation=realisation).module, images, torch.ones(2))


def test_second_derivatives_are_zero_in_literal_layers_and_refused_in_fused_ones(task, images):
    def first(module):
        x = images.clone().requires_grad_()
        weight = torch.ones(2, dtype=x.dtype, requires_grad=True)
        (gradient,) = torch.autograd.grad((module(x) * weight).sum(), x, create_graph=True)
        return gradient, weight

    literal, weight = first(theorem1(task, realisation="literal").module)
    (mixed,) = torch.autograd.grad(literal.sum(), weight)
    assert mixed.abs().sum() > 0  # linear in what comes from above
    fused, _ = first(theorem1(task).module)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        fused.sum().backward()
