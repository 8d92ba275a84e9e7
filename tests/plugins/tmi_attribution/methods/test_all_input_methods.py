"""What every input method must keep to: exact on linear networks, each image alone, seeds decide, nothing left behind."""

import copy
import warnings

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import TASK, dataset
from tmi.params import parameters
from tmi.probing.attribution import GIVEN, method_info
from tmi_attribution.preflight import problems
from tmi_networks.theorem1 import theorem1

from .cases import IMAGES, METHODS, SCENES, SEEDED, TARGETS, frozen, linear, of_linear, run, toy

GRADIENTS = {"saliency", "guided_backprop", "deconvolution", "smooth_grad"}
# Each pixel is a cell, every subset is counted, nothing is smoothed away.
EXACTLY = {
    "occlusion": {"window": 1},
    "feature_ablation": {"cells": 8},
    "shapley_sampling": {"cells": 8, "draws": 1},
    "kernel_shap": {"cells": 8, "draws": 200},
    "lime": {"cells": 8, "draws": 120, "alpha": 0.0},
    "smooth_integrated_gradients": {"noise": 0.0},
}


@pytest.mark.parametrize("baseline", ["black", "background"])
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"grad_cam", "guided_grad_cam", "smooth_grad_squared", "var_grad"}))
def test_a_linear_network_is_attributed_exactly(name, baseline):
    """The gradient is the weight, and every other method gives weight × (image − baseline)."""
    module, settings = linear(), EXACTLY.get(name, {})
    below = torch.zeros_like(IMAGES) if baseline == "black" else SCENES.without_tiles().images
    weight, difference = of_linear(module, IMAGES, TARGETS), IMAGES - below
    expected = weight if name in GRADIENTS else weight * difference
    references = None
    if name == "input_x_gradient":
        expected = weight * IMAGES
    if name == "lrp":
        module[1].bias.zero_()
        expected = weight * IMAGES
    if name in ("deeplift_shap", "feature_permutation"):
        references, settings = below[:1], {"cells": 8, "draws": 3}
        expected = weight * (IMAGES - below[:1])
    if name == "shapley_exact":
        blocks = expected.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))
        expected = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)
    found = run(name, module, IMAGES, TARGETS, baselines=below, references=references, **settings)
    # Captum weighs the full and the empty subset a million times, in float32.
    assert torch.allclose(found, expected, atol=3e-4 if name == "kernel_shap" else 2e-5)


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(SEEDED)))
def test_of_large_images_few_are_evaluated_at_a_time_with_the_same_result(name, monkeypatch):
    module, seen = toy(), []
    whole = run(name, module, IMAGES[:2], TARGETS[:2])
    monkeypatch.setattr("tmi_attribution.methods.path._PIXELS", 5 * IMAGES[0].numel())
    handle = module.register_forward_pre_hook(lambda _module, images: seen.append(len(images[0])))
    parts = run(name, module, IMAGES[:2], TARGETS[:2])
    handle.remove()
    assert torch.allclose(parts, whole, atol=1e-5)
    assert max(seen) <= (8 if name == "deeplift_shap" else 5)  # two images with two references, and each again as a reference


@pytest.mark.parametrize("name", METHODS)
def test_an_image_does_not_depend_on_its_neighbours(name):
    module = toy()
    whole = run(name, module, IMAGES, TARGETS)
    assert whole.shape in (IMAGES.shape, (len(IMAGES), *IMAGES.shape[2:]))
    assert whole.isfinite().all()
    assert whole.abs().amax((1, 2, 3)).min() > 0 or name in ("grad_cam", "guided_grad_cam")
    for i in (0, 3):
        alone = run(name, module, IMAGES[i : i + 1], TARGETS[i : i + 1], seed=i)
        assert torch.allclose(alone, whole[i : i + 1], atol=1e-5)


@pytest.mark.parametrize("name", SEEDED)
def test_the_seed_decides(name):
    """NumPy's generator, from which gradient-shap draws its points, is seeded as well."""
    module = toy()
    np.random.seed(5)  # noqa: NPY002
    first = run(name, module, IMAGES[:1], TARGETS[:1])
    np.random.seed(6)  # noqa: NPY002
    torch.manual_seed(6)
    assert torch.equal(first, run(name, module, IMAGES[:1], TARGETS[:1]))
    assert not torch.equal(first, run(name, module, IMAGES[:1], TARGETS[:1], seed=1))


@pytest.mark.parametrize("name", METHODS)
def test_the_module_and_the_images_are_left_as_they_were(name):
    module, images = toy(), IMAGES.clone()
    before = copy.deepcopy(module.state_dict())
    names = {key: set(vars(part)) for key, part in module.named_modules()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(name, module, images, TARGETS)
    for key, part in module.named_modules():
        assert not part._forward_hooks | part._forward_pre_hooks | part._backward_hooks
        assert set(vars(part)) == names[key]
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert not any(p.requires_grad for p in module.parameters())
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize("name", METHODS)
def test_float64_and_colour(name):
    values = np.stack([np.full((3, 3), v) for v in (0.2, 0.9, 0.4)])
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(v, 0.5)]) for n, v in (("a", values), ("b", 1 - values), ("c", values[::-1]))],
        (3, 8, 8),
    )
    scenes = dataset(3, task=task).test
    images = scenes.images.double()
    found = run(name, toy(task=task).double(), images, scenes.labels, references=images)
    assert found.shape == images.shape or (name == "grad_cam" and found.shape == (3, 1, 8, 8))
    # Captum counts occlusions and Shapley values in float32.
    assert found.dtype == torch.float64 or "gradient" not in method_info(METHODS[name]).needs


COMPLETE = [name for name, function in METHODS.items() if method_info(function).complete and name != "gradient_shap"]


@pytest.mark.parametrize("name", COMPLETE)
def test_what_promises_to_be_complete_is(name):
    module, references = toy().double(), dataset(40).train.images.double()[:37]
    images = IMAGES.double()
    found = run(name, module, images, TARGETS, references=references, steps=200, draws=100, cells=2)
    below = {"references": module(references).mean(0).expand(len(images), -1), "baselines": module(0 * images)}
    change = (module(images) - below[method_info(METHODS[name]).complete]).gather(1, TARGETS[:, None])[:, 0]
    assert found.sum((1, 2, 3)) == pytest.approx(change, rel=0.01, abs=5e-4)


@pytest.mark.parametrize("realisation", ["fused", "literal"])
@pytest.mark.parametrize("name", METHODS)
def test_constructed_networks(name, realisation):
    """What is not refused stays within [0, 1], as these networks demand, and is the same for both realisations."""
    module = frozen(theorem1(TASK, realisation=realisation).module)
    needs, layer = method_info(METHODS[name]).needs, "conv" if realisation == "literal" else "hidden"
    if problems(needs, module, IMAGES, layer):
        assert name in ("lrp", "grad_cam", "guided_grad_cam") or realisation == "fused"
        return
    found = run(name, module, IMAGES, TARGETS, layer=layer)
    assert found.isfinite().all()
    fused = frozen(theorem1(TASK).module)
    if not problems(needs, fused, IMAGES, "hidden") and name != "grad_cam":
        assert torch.allclose(found, run(name, fused, IMAGES, TARGETS), atol=1e-4)


def test_every_setting_is_described():
    for function in METHODS.values():
        for name, parameter in parameters(function, GIVEN["method"]).items():
            assert parameter.text, f"{function.__name__}: {name}"
