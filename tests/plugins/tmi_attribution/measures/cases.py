"""Maps and masks to score, and questions about small networks."""

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tmi
from tests.plugins.tmi_probes.toys import Sums, dataset, small_cnn
from tmi_attribution.truth import Truth

NUMBERS = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
"""Many ties, and any number."""


@st.composite
def maps_and_masks(draw, values=NUMBERS, images=2):
    shape = (draw(st.integers(1, images)), *draw(array_shapes(min_dims=2, max_dims=2, max_side=6)))
    return draw(arrays(np.float64, shape, elements=values)), draw(arrays(np.bool_, shape))


def masked(masks, **known):
    """A truth of which only the mask matters."""
    return SimpleNamespace(**({"masks": masks, "null": None, "exact": None} | known))


def asked(module=None, images=5, baseline="black", dtype=torch.float32, data=None, **known):
    """The labels' logits of a network on scenes."""
    scenes = (data or dataset(40)).test[:images]
    module = (module or small_cnn(scenes.task)).to(dtype).eval().requires_grad_(False)
    pixels = scenes.images.to(dtype)
    below = torch.zeros_like(pixels) if baseline == "black" else scenes.without_tiles().images.to(dtype)
    return Truth(module, scenes, pixels, below, scenes.labels, scenes.masks.numpy(), baseline=baseline, **known)


def sums():
    """A linear network: the label's logit is the sum of the pixels."""
    module = Sums()
    with torch.no_grad():
        module.logits.weight.fill_(1)
    return module


def contributions(truth):
    """x − b: the exact attribution of `sums`."""
    return (truth.images - truth.baselines).double().numpy()


def gradient(truth):
    """A method: the gradient of the attributed logit, signed (N, C, m, n)."""
    images = truth.images.clone().requires_grad_(True)
    truth.module(images).gather(1, truth.targets[:, None]).sum().backward()
    return images.grad.double().numpy()


def colour():
    """A task of two channels."""
    values = np.stack([np.full((3, 3), v) for v in (0.2, 0.9)])
    classes = [
        tmi.TileClass(n, [tmi.FeatureTile(v, 0.5)]) for n, v in (("one", values), ("two", 1 - values), ("three", values / 2))
    ]
    return dataset(12, task=tmi.TemplateTask(classes, (2, 8, 8)))


def one_pixel():
    """Two images of a single pixel, and a network for them."""
    classes = [tmi.TileClass(n, [tmi.FeatureTile(np.full((1, 1), v), 0.1)]) for n, v in (("dark", 0.2), ("light", 0.8))]
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1, 2))
    return asked(module, images=2, data=dataset(4, task=tmi.TemplateTask(classes, (1, 1, 1))))
