"""What the tests of methods share: the input methods by name, a call as the bench makes it, and small networks."""

import inspect

import torch
from torch import nn

from tests.plugins.tmi_probes.toys import TASK, dataset, small_cnn
from tmi.params import parameters
from tmi.probing.attribution import GIVEN
from tmi.runtime.seeds import fixed_seed
from tmi_attribution.methods import cam, deeplift, gradient, guided, noise, occlusion, path, relevance, superpixels

SCENES = dataset(20).test[:4]
IMAGES, TARGETS = SCENES.images, SCENES.labels


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


QUICK = {"draws": 6, "steps": 8}


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


def of_linear(module, images, targets):
    return module[1].weight[targets].reshape(images.shape)
