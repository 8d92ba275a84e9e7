"""A score that no network could miss on the data is not given: neither a value at the good end of its range, nor its controls.

What could have been otherwise is decided without the probes: a metric may stand only if, among twenty networks whose weights are
random, negated, smooth or 0, one scores less than the best. Metrics that say how exact a method is, and controls, are exempt.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi.params import check, takes_seed
from tmi.plugins.registry import installed

from .test_all_probes import PROBES, SMALL

FEW = SMALL | {
    "attribution": {"images": 3, "methods": ["saliency"], "controls": ["random"]},
    "attribution-bench": {"method": "saliency", "images": 4},
    "background-kinds": {"tiles": 3, "backgrounds": 3},
    "decodability": {"folds": 2},
    "dictionary": SMALL["dictionary"] | {"atoms": 3},
    "direction-recovery": {"atoms": 3, "steps": 10, "images": 24, "test_images": 24, "fits": 2, "penalties": [0.1]},
    "equivariance": {"tiles": 2},
    "prunability": {},
    "randomisation": {"method": "saliency", "images": 3, "draws": 1},
    "translation-robustness": {"tiles": 3, "places": "all"},
}
CONTROLS = ("chance", "oracle", "low", "high", "whole", "pixels")
"""Parts of names of what a score is compared with."""
METHODS = {"exact", "reconstruction_error", "proven", "completeness_delta", "completeness_relative"}
"""Metrics of a computation, which is right for every network."""


def task(*classes, shape=(1, 5, 6), epsilon=0.3):
    named = zip("abcd", classes, strict=False)
    return tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(v, epsilon, np.ones(v.shape, bool)) for v in tiles]) for n, tiles in named], shape
    )


def drawn(of, samples=24):
    rng = np.random.default_rng(0)
    train, test = (tmi.Scenes.draw(of, samples, rng=rng) for _ in range(2))
    return tmi.Dataset(of, train, test)


def tile(seed, *shape):
    return np.random.default_rng(seed).random(shape or (3, 3))


TWO = task([tile(0), tile(1)], [tile(2)])


def usual():
    return drawn(TWO)


def one_class():
    return drawn(task([tile(0), tile(1)]))


def one_tile():
    return drawn(task([tile(0)]))


def tile_as_large_as_the_image():
    return drawn(task([tile(0, 5, 6)], [tile(1, 5, 6)]))


def one_image():
    data = drawn(TWO)
    return tmi.Dataset(TWO, data.train, data.test[:1])


def one_pixel():
    return drawn(task([np.full((1, 1), 0.1)], [np.full((1, 1), 0.9)], shape=(1, 1, 1), epsilon=0.1))


def one_background():
    data = drawn(TWO)
    return tmi.Dataset(TWO, *(scenes.with_backgrounds(0.4) for scenes in (data.train, data.test)))


def one_place_in_the_data():
    data = drawn(TWO)
    return tmi.Dataset(TWO, *(scenes.moved(1, 2) for scenes in (data.train, data.test)))


def images_of_one_class():
    data = drawn(TWO)
    return tmi.Dataset(TWO, *(scenes[scenes.labels == 1] for scenes in (data.train, data.test)))


def two_images():
    data = drawn(TWO)
    return tmi.Dataset(TWO, data.train, data.test[[int((data.test.labels == label).nonzero()[0]) for label in (0, 1)]])


def even_tiles():
    """Black and white tiles: on black, a black one is nowhere to be seen."""
    return drawn(task([np.zeros((2, 2))], [np.ones((2, 2))]))


DATA = (
    usual,
    one_class,
    one_tile,
    tile_as_large_as_the_image,
    one_image,
    one_pixel,
    one_background,
    one_place_in_the_data,
    images_of_one_class,
    two_images,
    even_tiles,
)


def module(of, seed, act=nn.ReLU):
    """A network with random weights and biases, a few units wide, more or less with the seed."""
    torch.manual_seed(seed)
    kernel, filters, hidden = min(2, *of.image_shape[1:]), 2 + seed % 2, 4 + seed % 3
    made = nn.Sequential()
    made.add_module("conv", nn.Sequential(nn.Conv2d(of.image_shape[0], filters, kernel), act()))
    made.add_module("flatten", nn.Flatten())
    size = filters * int(np.prod(np.array(of.image_shape[1:]) - kernel + 1))
    made.add_module("hidden", nn.Sequential(nn.Linear(size, hidden), act()))
    made.add_module("logits", nn.Linear(hidden, len(of.classes)))
    with torch.no_grad():
        for value in made.parameters():
            value.copy_(torch.randn(value.shape))
    return made


def networks(of):
    """Twenty networks that differ in whatever a score can be about."""
    plain = [module(of, seed) for seed in range(16)]
    negated = copy.deepcopy(plain[0])
    constant = copy.deepcopy(plain[1])
    smooth = [module(of, seed, nn.Tanh) for seed in (20, 21)]
    with torch.no_grad():
        negated.logits.weight.neg_()
        negated.logits.bias.neg_()
        constant.logits.weight.zero_()
        constant.logits.bias.zero_()
    for made in (plain[0], negated, constant, *smooth, *plain[1:]):
        yield tmi.Network(made, ["conv", "hidden", "logits"], "imported", task=of)


def run(name, network, data, seed):
    component = installed().find("probe", name)
    values, problems = check(component.function, FEW.get(name, {}), name)
    assert not problems
    settings = installed().with_references(component, values)
    return component.function(network, data, **settings, **({"seed": seed} if takes_seed(component.function) else {}))


def is_best(info, value):
    best = {"higher": info.high, "lower": info.low}.get(info.better)
    return best is not None and abs(value - best) <= 1e-9


def could_not_fail(name, data):
    """Return the metrics that are best for every network that has them, and the results seen."""
    always, other, results = set(), set(), []
    for seed, network in enumerate(networks(data.task)):
        result = run(name, network, data, seed)
        results.append(result)
        for metric, value in result.metrics.items():
            parts = metric.split(".")
            if parts[0] in METHODS or set(parts[1:]) & set(CONTROLS):
                continue
            (always if is_best(result.describe(metric), value) else other).add(metric)
        if seed >= 2 and not always - other:
            break
    return sorted(always - other), results


# Each takes seconds on each data set.
SLOW = (
    "activation-maximisation",
    "attack",
    "attribution-bench",
    "decodability",
    "dictionary",
    "direction-recovery",
    "prunability",
)


@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROBES],
)
def test_no_score_is_perfect_because_nothing_can_fail(name, make):
    data = make()
    if FEW.get(name, {}).get("folds", 0) > len(data.test):
        pytest.skip("it refuses fewer images than folds")
    vacuous, results = could_not_fail(name, data)
    assert not vacuous
    for result in results:
        assert result.applicable or len(result.notes) == 1
