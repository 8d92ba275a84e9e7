"""A method is called on a copy, a few images at a time, with fixed draws; what it returns is checked."""

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import Phi, Sums, cnn_network, dataset, network
from tmi.plugins.registry import installed
from tmi_attribution.attributor import Attributor
from tmi_attribution.build_truth import references_of, truth_of


def attributor(method, net=None, count=5, seed=0):
    net = net or cnn_network()
    data = dataset(30)
    truth = truth_of(net, data, count, "black")
    return Attributor(installed().reference("method", method), references_of(truth, data), seed), truth


def twice(module, images, targets):
    """Two times the image."""
    return 2 * images


def test_what_is_handed_over():
    seen = []

    @tmi.attribution_method(images_at_once=2)
    def looks(module, images, targets, *, baselines, references, layer, truth, power: int = 2):
        seen.append((len(images), len(targets), len(baselines), len(references), layer, len(truth), images.requires_grad))
        assert not any(p.requires_grad for p in module.parameters())
        assert (truth.scenes.labels == targets).all()
        return images**power

    run, truth = attributor(looks)
    assert run(truth) == pytest.approx(truth.images.double().numpy() ** 2)
    assert seen == [(2, 2, 2, 16, None, 2, True)] * 2 + [(1, 1, 1, 16, None, 1, True)]


def test_each_image_has_a_seed_of_its_own_that_fixes_every_generator():
    @tmi.attribution_method()
    def draws(module, images, targets, *, seed):
        assert len(images) == 1
        of_all = torch.rand(()), np.random.random(), np.random.default_rng(seed).random()  # noqa: NPY002
        return torch.stack([torch.full((8, 8), float(of_all[i % 3])) for i in range(3)])[:1] + float(of_all[1])

    run, truth = attributor(draws)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = run(truth)
    assert (torch.get_rng_state() == before[0]).all()
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert (run(truth) == first).all()
    assert len(np.unique(first[:, 0, 0, 0])) == 5
    assert (run(truth[:2]) == first[:2]).all()
    assert (attributor(draws, seed=1)[0](truth) != first).all()


def test_the_network_is_left_as_it_was():
    @tmi.attribution_method()
    def spoils(module, images, targets):
        module.train()
        for p in module.parameters():
            p.add_(1)
        module.register_forward_hook(lambda *_: None)
        return images

    net = cnn_network()
    before = {name: p.clone() for name, p in net.module.named_parameters()}
    run, truth = attributor(spoils, net)
    run(truth)
    assert not net.module.training
    assert not net.module._forward_hooks
    assert all((before[name] == p).all() for name, p in net.module.named_parameters())
    assert all((before[name] == p).all() for name, p in truth.module.named_parameters())


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 8, 8)])
def test_shapes_that_are_taken(shape):
    run, truth = attributor(lambda module, images, targets: np.ones((len(images), *shape[1:])))
    assert run(truth).shape == (5, 1, 8, 8)


@pytest.mark.parametrize("shape", [(5, 1, 8), (5, 8, 7), (4, 1, 8, 8), (5, 2, 8, 8), (5,)])
def test_other_shapes_are_an_error(shape):
    run, truth = attributor(lambda module, images, targets: np.ones(shape))
    with pytest.raises(tmi.PluginError, match=r"returned shape .* expected \(5, 1, 8, 8\) or \(5, 8, 8\)"):
        run(truth)


@pytest.mark.parametrize("returned", ["words", 1 + 2j, None])
def test_what_is_no_real_number_is_an_error(returned):
    run, truth = attributor(lambda module, images, targets: returned if returned is None else np.full((5, 1, 8, 8), returned))
    with pytest.raises(tmi.PluginError, match="expected a tensor or an array of real numbers"):
        run(truth)


def test_tensors_of_every_precision_are_taken():
    for dtype in (torch.float64, torch.bfloat16, torch.int32):
        run, truth = attributor(lambda module, images, targets, dtype=dtype: images.to(dtype))
        assert run(truth).dtype == np.float64


def test_what_is_handed_over_may_be_written_into():
    def spoils(module, images, targets, *, baselines, references):
        baselines += 1
        references.zero_()
        return images

    run, truth = attributor(spoils)
    run(truth)
    assert not truth.baselines.any()
    assert run.references.any()


def test_an_image_keeps_its_draws_whichever_images_are_asked_about():
    run, truth = attributor("gradient-shap(draws=3)")
    whole = run(truth)
    assert run(truth[2:4]) == pytest.approx(whole[2:4], abs=1e-6)
    assert run(truth[1:][1:3].on(truth.images[2:4])) == pytest.approx(whole[2:4], abs=1e-6)


def test_evaluations_are_counted():
    run, truth = attributor("saliency")
    run(truth)
    assert (run.evaluations.forward, run.evaluations.backward) == (5, 5)
    run, truth = attributor("integrated-gradients(steps=7)")
    run(truth)
    assert (run.evaluations.forward, run.evaluations.backward) == (35, 35)
    run, truth = attributor("sobel")
    run(truth)
    assert (run.evaluations.forward, run.evaluations.backward) == (0, 0)


def test_needs_are_checked():
    assert attributor("saliency")[0].problems(attributor("saliency")[1]) == []
    run, truth = attributor("saliency", network(Phi()))
    assert "differentiably" in run.problems(truth)[0]
    run, truth = attributor("exact", network(Sums(), "hidden", "logits"))
    assert run.problems(truth) == ["the network is not constructed, so that its exact attribution is not known"]
    run, truth = attributor("layer-activation")
    assert "no layer to look at" in run.problems(truth)[0]


def test_a_function_is_a_method():
    run, truth = attributor(twice)
    assert run(truth) == pytest.approx(2 * truth.images.double().numpy())
