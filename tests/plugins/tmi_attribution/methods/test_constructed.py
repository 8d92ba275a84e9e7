import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.plugins.tmi_probes.toys import TASK, cnn_network, dataset
from tests.strategies import images_of, tasks
from tmi.networks.network import Network
from tmi_attribution import exact as closed_form
from tmi_attribution.methods import gradient, path
from tmi_attribution.methods.constructed import exact, exact_integrated_gradients
from tmi_attribution.truth import Truth


def truth_about(network: Network, scenes: tmi.Scenes) -> Truth:
    images, targets = scenes.images, scenes.labels
    known = (lambda: closed_form.signed(scenes.task, images, targets)) if closed_form.applies(network) else None
    return Truth(network.module, scenes, images, torch.zeros_like(images), targets, scenes.masks.numpy(), exact=known)


def test_controls_are_the_closed_forms():
    built, scenes = tmi.build("theorem1", TASK), dataset(8).test
    truth = truth_about(built, scenes)
    given = built.module, truth.images, truth.targets
    logits = built.logits(scenes.images).gather(1, scenes.labels[:, None])[:, 0].double().numpy()
    for found in (exact(*given, truth=truth), exact_integrated_gradients(*given, truth=truth, baselines=truth.baselines)):
        assert found.sum((1, 2, 3)) == pytest.approx(logits, abs=1e-6)  # on black no window is active
    assert (exact(*given, truth=truth)[:, 0][~scenes.masks.numpy()] == 0).all()


def test_trained_networks_have_no_closed_form():
    net = cnn_network()
    truth = truth_about(net, dataset(2).test)
    with pytest.raises(tmi.InputError, match="the network is not constructed"):
        exact(net.module, truth.images, truth.targets, truth=truth)
    with pytest.raises(tmi.InputError, match="no closed form"):
        exact_integrated_gradients(net.module, truth.images, truth.targets, truth=truth, baselines=truth.baselines)


def maps_of(network, images, targets, baselines):
    """The attributions of the methods that follow the gradient."""
    known = {"baselines": baselines, "steps": 7}
    given = network.module, images.clone().requires_grad_(True), targets
    return {
        "saliency": gradient.saliency(*given),
        "input x gradient": gradient.input_x_gradient(*given),
        "integrated gradients": path.integrated_gradients(*given, **known),
    }


@st.composite
def questions(draw):
    task = draw(tasks(max_side=4, max_tiles=2, grids=((4, 0.0137),)))
    images = draw(images_of(task, 1, 3, torch.float64))
    targets = draw(st.lists(st.integers(0, len(task.classes) - 1), min_size=len(images), max_size=len(images)))
    return task, images, torch.tensor(targets)


@given(questions())
def test_fused_and_literal_give_the_same_maps(question):
    """Kinks included: images and tiles share few levels, so that pixels often are at their values."""
    task, images, targets = question
    fused, literal = (
        maps_of(tmi.build("theorem1", task, realisation=kind), images, targets, torch.zeros_like(images))
        for kind in ("fused", "literal")
    )
    for name, maps in fused.items():
        assert maps.detach().numpy() == pytest.approx(literal[name].detach().numpy(), abs=1e-9), name


def test_another_network_of_the_same_function_gives_other_maps_at_exact_matches():
    """Theorem 2 computes the same logits; its ReLUs between the layers stop the gradient where a patch matches exactly."""
    scenes = dataset(12).test
    one, two = tmi.build("theorem1", TASK), tmi.build("theorem2", TASK)
    images = scenes.with_backgrounds(scenes.backgrounds.double()).images
    assert one.logits(images).numpy() == pytest.approx(two.logits(images).numpy(), abs=1e-12)

    def saliencies(x):
        return (gradient.saliency(net.module, x.clone().requires_grad_(True), scenes.labels).numpy()[:, 0] for net in (one, two))

    shown = scenes.masks.numpy()
    first, second = saliencies(images)
    assert (np.abs(first[shown]) == 1).all()
    assert np.abs(second[shown]).sum() < np.abs(first[shown]).sum() / 2
    # Off the kink, by far less than ε, the two agree.
    jitter = torch.from_numpy(np.random.default_rng(0).uniform(1e-4, 1e-3, images.shape))
    off = (images + jitter).clamp(0, 1)
    first, second = saliencies(off)
    assert (np.abs(first[shown]) == 1).all()
    assert (first == second).all()
