"""Plain loops that patch one site after another, with nothing skipped, and networks small enough for them."""

import copy
from functools import cache

import numpy as np
import torch
from torch import nn

import tmi

from ..toys import TASK, network, small_cnn


@cache
def built(builder, **settings):
    """Return a constructed network of the small task, made once."""
    return tmi.build(builder, TASK, **settings, **({"seed": 0, "code": "dense"} if builder == "superposed" else {}))


@cache
def fashion():
    """Return a few scenes of section 6.2, and Theorem 1 in superposition for them, made once."""
    data = tmi.generate("fashion", seed=0, samples=1, test_samples=6)
    return data, tmi.build("superposed", data, seed=0)


class Around(nn.Module):
    """A layer with a path around it: the logits read the layer, through a ReLU, and the image."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.ReLU())
        self.after = nn.Sequential(nn.Linear(7, 9), nn.ReLU(inplace=True))
        self.read, self.beside = nn.Linear(9, 3), nn.Linear(64, 3)
        self.logits = nn.Identity()

    def rest(self, hidden, images):
        return self.read(self.after(hidden)) + self.beside(images.flatten(1))

    def forward(self, images):
        return self.logits(self.rest(self.hidden(images), images))


def around(seed=0):
    """Return the network, and its rest as a function of activations (K, neurons) and one image."""
    module = Around(seed)
    wide = Around(seed).double()
    return network(module, "hidden", "logits"), lambda values, image: _numpy(wide.rest(torch.from_numpy(values), image))


def convolution(seed=0):
    """Return a network with a map, and its rest."""
    module, wide = small_cnn(seed=seed), small_cnn(seed=seed).double()

    def rest(values, image):
        del image
        return _numpy(wide.logits(wide.hidden(torch.from_numpy(values))))

    return network(module, "conv", "hidden", "logits"), rest


def activations(net, layer, scenes):
    """Return float64 activations (N, neurons) and images."""
    wide = net.with_module(copy.deepcopy(net.module).double())
    images = scenes.with_backgrounds(scenes.backgrounds.double()).images
    return wide.activations(images, layer)[layer].flatten(1).numpy(), images


def groups(shape, by):
    """Return the neurons of each site."""
    neurons = np.arange(int(np.prod(shape)))
    if by == "unit":
        return neurons[:, None]
    return neurons.reshape(shape[0], -1).T


def replaced(rest, values, others, image, sites):
    """Return the logits with each site of one image replaced by the other values, one run a site."""
    logits = []
    for site in sites:
        patched = values.copy()
        patched[site] = others[site]
        logits.append(rest(patched[None], image)[0])
    return np.array(logits)


def measure(pairs, i):
    """Return what is measured on a pair, by the definition, as a function of logits (…, L)."""
    label, other = int(pairs.clean.labels[i]), int(pairs.counterfactual.labels[i])
    if pairs.change == "tile":
        return lambda logits: logits[..., label] - logits[..., other]
    others = [k for k in range(len(TASK.classes)) if k != label]
    return lambda logits: logits[..., label] - logits[..., others].mean(-1)


def drawn(samples=6, seed=1):
    """Return scenes of the small task."""
    return tmi.Scenes.draw(TASK, samples, rng=np.random.default_rng(seed))


def _numpy(values):
    return values.detach().numpy()
