"""Properties of every registered probe: it leaves no trace, and its numbers depend on its arguments alone."""

from __future__ import annotations

import importlib
import inspect
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tests.network_forms import SETTINGS
from tests.plugins.tmi_probes.toys import Phi, exact_sums
from tests.plugins.traces import state
from tmi.params import check, parameters, takes_seed
from tmi.plugins.registry import installed

# Fewer images, steps and atoms, so that a probe takes seconds. A probe that is not named here runs with its defaults.
SMALL = SETTINGS | {
    "attribution-bench": {"method": "gradient-shap(draws=2)", "images": 3},
    "prunability": {"images": 12},
}
PROBES = tuple(tmi.names("probe"))
# Too slow for the quick tests.
_LONG = ("activation-maximisation", "attack", "attribution-bench", "dictionary", "direction-recovery")
SLOW = [pytest.param(name, marks=pytest.mark.slow) if name in _LONG else name for name in PROBES]


def colour(samples=24):
    """A data set that is not built in: two classes of colour tiles that differ in size, pasted by their support."""
    rng = np.random.default_rng(3)
    tiles = [
        tmi.FeatureTile(rng.random((3, *shape)) * (rng.random((3, *shape)) < 0.9), 0.4) for shape in ((3, 4), (4, 3), (2, 4))
    ]
    task = tmi.TemplateTask([tmi.TileClass("one", tiles[:2]), tmi.TileClass("other", tiles[2:])], (3, 7, 6))
    draws = (np.random.default_rng(seed) for seed in (1, 2))
    train, test = (tmi.Scenes.draw(task, samples, rng=rng, paste="support") for rng in draws)
    return tmi.Dataset(task, train, test, name="colour")


def squares():
    return tmi.generate("squares", seed=0, samples=24, test_samples=24)


def trained(data, hidden=6):
    return tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=hidden, epochs=2, batch_size=8)


def constructed(name, realisation):
    return lambda data: tmi.build(name, data, realisation=realisation)


DATASETS = {"squares": squares, "colour": colour}
NETWORKS = {
    "theorem1": constructed("theorem1", "fused"),
    "theorem1-literal": constructed("theorem1", "literal"),
    "theorem2": constructed("theorem2", "fused"),
    "theorem2-literal": constructed("theorem2", "literal"),
    "cnn": trained,
    "imported": lambda data: tmi.Network(trained(data).module, ["conv", "hidden", "logits"], "imported", task=data.task),
    # No layer before the logits, no weight, no ReLU module and no gradient: many probes do not apply to it.
    "logits-alone": lambda data: tmi.Network(Phi(data.task), ["logits"], "imported", task=data.task),
}


# Those compute what others compute too: their numbers are checked in full by the slow tests.
OTHERS = ("theorem1-literal", "theorem2", "theorem2-literal", "imported")
FEWER = [pytest.param(n, marks=pytest.mark.slow) if n in OTHERS else n for n in NETWORKS]


@pytest.fixture(scope="module")
def worlds():
    """Every network on every data set, built once."""
    data = {name: make() for name, make in DATASETS.items()}
    return {(d, n): (make(data[d]), data[d]) for d in DATASETS for n, make in NETWORKS.items()}


def run(name, network, data, seed=5):
    component = installed().find("probe", name)
    values, problems = check(component.function, SMALL.get(name, {}), name)
    assert not problems
    settings = installed().with_references(component, values)
    return component.function(network, data, **settings, **({"seed": seed} if takes_seed(component.function) else {}))


def close(one, other, relative=1e-5):
    assert set(one.metrics) == set(other.metrics)
    for metric, value in one.metrics.items():
        assert value == pytest.approx(other.metrics[metric], rel=relative, abs=relative), metric


@pytest.mark.parametrize("name", SLOW)
def test_a_probe_leaves_no_trace(worlds, name):
    network, data = worlds["squares", "cnn"]
    network.module.train()
    network.module.hidden.eval()
    for p in network.module.parameters():
        p.grad = torch.full_like(p, 7)
    images = data.test.images.clone(), data.train.images.clone()
    importlib.import_module("ot")  # the first import draws from Python's generator; tmi.probe guards against that
    before = state(network)
    try:
        run(name, network, data)
        after = state(network)
    finally:
        network.module.eval()
        network.module.zero_grad()
    weights = before.pop("weights"), after.pop("weights")
    assert before == after
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert torch.equal(images[0], data.test.images)
    assert torch.equal(images[1], data.train.images)
    with torch.inference_mode():
        run(name, network, data)


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("network", FEWER)
def test_every_probe_runs_everywhere_within_its_own_range(worlds, name, dataset, network):
    result = run(name, *worlds[dataset, network])
    if not result.applicable:  # no metric and no array: then the reason is given, and nothing else
        assert len(result.notes) == 1
        assert len(result.notes[0].split(". ")) == 1
    else:
        assert result.metrics
    for metric, value in result.metrics.items():
        assert math.isfinite(value)
        info = result.describe(metric)
        assert info is not None, metric
        assert info.text
        assert info.low is None or value >= info.low - 1e-9, metric
        assert info.high is None or value <= info.high + 1e-9, metric


@pytest.mark.parametrize("name", SLOW)
def test_a_seed_decides_everything(worlds, name):
    network, data = worlds["squares", "cnn"]
    first = run(name, network, data)
    random.seed(1)
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(98)
    again = run(name, network, data)
    assert first.metrics == again.metrics
    for array in first.arrays:
        assert np.array_equal(
            first.arrays[array].values, again.arrays[array].values, equal_nan=first.arrays[array].values.dtype.kind == "f"
        )


@pytest.mark.parametrize("name", SLOW)
def test_scores_do_not_depend_on_how_many_images_are_taken_at_a_time(worlds, name):
    network, data = worlds["squares", "cnn"]
    first = run(name, network, data)
    # A module that takes one image at a time gets no more, for any batch size of a probe: each image is alone in its batch.
    network.module.images_at_once = 1
    try:
        close(run(name, network, data), first)
    finally:
        del network.module.images_at_once


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_scores_do_not_depend_on_torchs_threads(worlds, name):
    network, data = worlds["squares", "cnn"]
    first = run(name, network, data)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        close(run(name, network, data), first)
    finally:
        torch.set_num_threads(before)


# Equal numbers must be equal to the last bit on every machine. A matrix product may add in another order for another row or
# column, so sums of equal rows are made exact, and equal units are made by copying one.


def dead(module):
    exact_sums(module)
    module.conv[0].bias.fill_(-100)  # no filter is ever active, so that every logit is constant


def constant(module):
    exact_sums(module)
    module.conv[0].weight.zero_()
    module.conv[0].bias.fill_(1)  # active, and the same on every image
    module.hidden[-2].bias.fill_(1)


class FirstUnit(nn.Module):
    """Copies the first unit of a layer to all its units."""

    def forward(self, values):
        return values[:, :1].expand_as(values)


def equal(module):
    for part in (module.conv[0], module.hidden[-2], module.logits):  # every unit of a layer is the same unit
        part.weight.copy_(part.weight[:1].expand_as(part.weight).clone())
        part.bias.fill_(1)
    module.conv.append(FirstUnit())
    module.hidden.append(FirstUnit())
    module.logits = nn.Sequential(module.logits, FirstUnit())


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("spoil", [dead, constant, equal])
def test_dead_constant_and_equal_units_have_no_nan(worlds, name, spoil):
    network, data = worlds["squares", "cnn"]
    module = trained(data).module
    with torch.no_grad():
        spoil(module)
    spoilt = tmi.Network(module, network.layers, "trained", task=data.task)
    seen = spoilt.activations(data.test.images)
    if spoil is equal:
        assert seen["hidden"].std() > 0
        assert all((values == values[:, :1]).all() for values in seen.values())
    else:
        assert all((values == values[0]).all() for values in seen.values())
        assert bool(seen["conv"].any()) == (spoil is constant)
    result = run(name, spoilt, data)
    assert all(math.isfinite(value) for value in result.metrics.values())


@pytest.mark.parametrize("name", SLOW)
def test_settings_are_documented_and_keyword_only(name):
    function = installed().find("probe", name).function
    assert all(p.text for p in parameters(function).values())
    assert inspect.getdoc(function)


FRESH = """
import random, sys
import numpy as np, torch, tmi
torch.set_num_threads(1)
data = tmi.generate("squares", seed=0, samples=24, test_samples=24)
network = tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=6, epochs=1)
settings = {settings!r}
before = random.getstate(), [*map(str, np.random.get_state())], torch.get_rng_state().tolist()
tmi.probe({name!r}, network, data, **settings)
after = random.getstate(), [*map(str, np.random.get_state())], torch.get_rng_state().tolist()
sys.exit(int(before != after))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_first_import_of_what_a_probe_needs_leaves_no_trace_either(name):
    """Importing scikit-learn draws from Python's generator, once in a process."""
    code = FRESH.format(name=name, settings=SMALL.get(name, {}))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "the global random state has changed"
