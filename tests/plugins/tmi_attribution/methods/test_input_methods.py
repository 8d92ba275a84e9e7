"""What every input method must keep to: exact on linear networks, each image alone, seeds decide, nothing left behind."""

import copy
import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tests.plugins.tmi_probes.toys import TASK, dataset, small_cnn
from tmi.params import parameters
from tmi.probing.attribution import GIVEN, method_info
from tmi.runtime.seeds import fixed_seed
from tmi_attribution.methods import (
    cam,
    deeplift,
    gradient,
    guided,
    noise,
    occlusion,
    path,
    relevance,
    superpixels,
)
from tmi_attribution.preflight import problems
from tmi_networks.theorem1 import theorem1

METHODS = {
    function.__name__: function
    for function in (
        gradient.saliency,
        gradient.input_x_gradient,
        path.integrated_gradients,
        path.gradient_shap,
        deeplift.deeplift,
        deeplift.deeplift_shap,
        relevance.lrp,
        guided.guided_backprop,
        guided.deconvolution,
        cam.grad_cam,
        cam.guided_grad_cam,
        occlusion.occlusion,
        superpixels.feature_ablation,
        superpixels.feature_permutation,
        superpixels.shapley_sampling,
        superpixels.shapley_exact,
        superpixels.kernel_shap,
        superpixels.lime,
        noise.smooth_grad,
        noise.smooth_grad_squared,
        noise.var_grad,
        noise.smooth_integrated_gradients,
    )
}
SEEDED = [name for name, function in METHODS.items() if "seed" in inspect.signature(function).parameters]
GRADIENTS = {"saliency", "guided_backprop", "deconvolution", "smooth_grad"}
QUICK = {"draws": 6, "steps": 8}
# Each pixel is a cell, every subset is counted, nothing is smoothed away.
EXACTLY = {
    "occlusion": {"window": 1},
    "feature_ablation": {"cells": 8},
    "shapley_sampling": {"cells": 8, "draws": 1},
    "kernel_shap": {"cells": 8, "draws": 200},
    "lime": {"cells": 8, "draws": 120, "alpha": 0.0},
    "smooth_integrated_gradients": {"noise": 0.0},
}


def run(name, module, images, targets, *, baselines=None, references=None, seed=0, layer="conv", **settings):
    """Run a method as the bench does: those that draw are given one image at a time."""
    function = METHODS[name]
    wanted = inspect.signature(function).parameters
    given = {"layer": layer, "references": dataset(6).train.images.to(images) if references is None else references}
    given |= {key: value for key, value in QUICK.items() if key in parameters(function, GIVEN["method"])}
    given = {key: value for key, value in (given | settings).items() if key in wanted}
    baselines = torch.zeros_like(images) if baselines is None else baselines
    step = 1 if name in SEEDED else len(images)
    parts = []
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        alone = {"seed": seed + start, "baselines": baselines[rows]}
        with fixed_seed(seed + start):
            found = function(
                module,
                images[rows].clone().requires_grad_(True),
                targets[rows],
                **given,
                **{key: value for key, value in alone.items() if key in wanted},
            )
        parts.append(torch.as_tensor(found).detach())
    return torch.cat(parts)


def frozen(module):
    return module.eval().requires_grad_(False)


def linear(channels=1, side=8, dtype=torch.float32):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, 3))
    return frozen(module.to(dtype))


def toy(seed=0, task=TASK):
    return frozen(small_cnn(task, seed=seed))


SCENES = dataset(20).test[:4]
IMAGES, TARGETS = SCENES.images, SCENES.labels


def of_linear(module, images, targets):
    return module[1].weight[targets].reshape(images.shape)


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


def test_squares_and_variances_of_a_constant_gradient():
    module = linear()
    weight = of_linear(module, IMAGES, TARGETS)
    assert torch.allclose(run("smooth_grad_squared", module, IMAGES, TARGETS), weight**2, atol=1e-6)
    assert (run("var_grad", module, IMAGES, TARGETS) == 0).all()


def test_variance_by_the_formula():
    module = toy().double()
    image, target = IMAGES[:1].double(), TARGETS[:1]
    found = run("var_grad", module, image, target, draws=40, noise=0.1)
    squares, mean = (run(name, module, image, target, draws=40, noise=0.1) for name in ("smooth_grad_squared", "smooth_grad"))
    assert found.max() > 1e-5
    assert torch.allclose(found, squares - mean**2, atol=1e-12)
    assert (found >= 0).all()


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


def test_gradient_shap_is_complete_on_average_and_in_portions():
    module, images = toy().double(), IMAGES[:1].double()
    change = (module(images) - module(0 * images))[0, TARGETS[0]]
    found = run("gradient_shap", module, images, TARGETS, draws=1500)
    assert abs(found.sum() - change) < 0.01 * found.abs().sum()
    assert path.portions(150, 64) == [64, 64, 22]


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


def test_captums_own_example():
    """The README of Captum: ToyModel, seed 123, integrated gradients and DeepLift agree."""

    class ToyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.lin1, self.relu, self.lin2 = nn.Flatten(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)
            with torch.no_grad():
                self.lin1.weight.copy_(torch.arange(-4.0, 5.0).view(3, 3))
                self.lin1.bias.zero_()
                self.lin2.weight.copy_(torch.arange(-3.0, 3.0).view(2, 3))
                self.lin2.bias.fill_(1)

        def forward(self, x):
            return self.lin2(self.relu(self.lin1(self.flat(x))))

    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    images = torch.rand(2, 3).reshape(2, 1, 1, 3)
    expected = torch.tensor([[-0.5922, -1.5497, -1.0067], [0.0, -0.2219, -5.1991]])
    module, targets = frozen(ToyModel()), torch.zeros(2, dtype=torch.int64)
    for name in ("integrated_gradients", "deeplift"):
        found = run(name, module, images, targets, steps=50)
        assert torch.allclose(found.reshape(2, 3), expected, atol=5e-5)


def test_every_setting_is_described():
    for function in METHODS.values():
        for name, parameter in parameters(function, GIVEN["method"]).items():
            assert parameter.text, f"{function.__name__}: {name}"
