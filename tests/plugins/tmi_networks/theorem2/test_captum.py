from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_networks.theorem2 import theorem2


@pytest.fixture
def scenes():
    rng = np.random.default_rng(7)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.uniform(0.1, 1, (1, 6, 5)), 2.0)]) for i in range(3)]
    return tmi.Scenes.draw(tmi.TemplateTask(classes, (1, 10, 9)), 8, rng=rng)


def jittered(scenes):
    """Half way from the pasted tile to where it is no longer contained."""
    rng = np.random.default_rng(8)
    size = rng.uniform(0.5, 1, scenes.images.shape) * 1.0 / 30
    pasted = scenes.images.double() + torch.from_numpy(np.where(scenes.images > 0.5, -size, size)) * scenes.masks[:, None]
    return pasted.clamp(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deeplift_is_complete(scenes, dtype):
    captum = pytest.importorskip("captum.attr")
    from tmi_attribution.preflight import preflight

    module = theorem2(scenes.task).module
    for images in (scenes.images.to(dtype), jittered(scenes).to(dtype)):
        assert preflight(module, images) == []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attributions, delta = captum.DeepLift(module).attribute(
                images.clone(), torch.zeros_like(images), target=scenes.labels, return_convergence_delta=True
            )
        output = module(images)[range(8), scenes.labels]
        assert (output > 0.5).all()
        assert (delta.abs() <= 1e-4 * output).all()
        assert (attributions * ~scenes.masks[:, None]).abs().max() == 0
        assert attributions.abs().sum() > 0


def test_lrp_runs_and_its_delta_is_the_share_of_the_biases(scenes):
    captum = pytest.importorskip("captum.attr")
    module = theorem2(scenes.task).module
    images = jittered(scenes)
    expected = module(images)[range(8), scenes.labels]
    attributions, delta = captum.LRP(module).attribute(
        images.clone().requires_grad_(), target=scenes.labels, return_convergence_delta=True
    )
    assert torch.equal(module(images)[range(8), scenes.labels], expected)  # it puts everything back
    assert attributions.isfinite().all()
    assert (attributions * ~scenes.masks[:, None]).abs().max() == 0
    # Relevance is kept wherever there is no bias: what is missing is what ε, Σ c and −2c took.
    torch.testing.assert_close(delta, expected - attributions.sum((1, 2, 3)))
    assert (delta.abs() > 0.1 * expected).all()
    torch.testing.assert_close(delta, relevance_of_biases(module, images, scenes.labels), rtol=1e-5, atol=1e-5)


def relevance_of_biases(module, images, target):
    """The sum over all layers of bias · relevance / output, by the epsilon rule: gradients where a ReLU is a gate."""
    taken = []
    handles = [
        part.register_forward_hook(lambda part, _x, y: taken.append((part, y)))
        for part in module.modules()
        if isinstance(part, nn.Conv2d)
    ]
    try:
        output = module(images.clone().requires_grad_())[range(len(images)), target]
        gradients = torch.autograd.grad(output.sum(), [y for _, y in taken])
    finally:
        for handle in handles:
            handle.remove()
    biases = [
        (part.bias[None, :, None, None] * g).sum((1, 2, 3))
        for (part, _), g in zip(taken, gradients, strict=True)
        if part.bias is not None
    ]
    return sum(biases)


def test_an_exact_paste_leaves_lrp_nothing():
    captum = pytest.importorskip("captum.attr")
    values = np.random.default_rng(0).integers(1, 5, (4, 4)) / 4
    task = tmi.TemplateTask([tmi.TileClass("one", [tmi.FeatureTile(values, 1.0)])], (1, 6, 7))
    scene = tmi.Scenes(task, torch.full((1, 1, 6, 7), 0.25), 0, 1, 2)
    images = scene.images.clone().requires_grad_()
    attributions, delta = captum.LRP(theorem2(task).module).attribute(images, target=0, return_convergence_delta=True)
    assert attributions.abs().sum() == 0  # t = 0: all of the logit is the bias ε
    assert delta.item() == pytest.approx(1.0)


def test_integrated_gradients_miss_the_kink_with_few_steps_and_find_it_with_many(scenes):
    captum = pytest.importorskip("captum.attr")
    module = theorem2(scenes.task).module
    images = jittered(scenes)
    output = module(images)[range(8), scenes.labels]
    errors = []
    for steps in (8, 200):
        attributions, delta = captum.IntegratedGradients(module).attribute(
            images, torch.zeros_like(images), target=scenes.labels, n_steps=steps, return_convergence_delta=True
        )
        torch.testing.assert_close(delta, attributions.sum((1, 2, 3)) - output)
        errors.append((delta.abs() / output).max().item())
    assert errors[1] < 0.05 < errors[0]
