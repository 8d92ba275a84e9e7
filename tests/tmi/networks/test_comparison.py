from __future__ import annotations

import warnings
from contextlib import nullcontext, suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.strategies import tasks
from tmi.networks.certificate import is_phi
from tmi.networks.comparison import EVERY_WINDOW, SHARES, every_tile, random_places, render

from .wrong import LARGE, REFUSED, SMALL, Changed, constructed, without, wrong_modules

BUILDS = [("theorem1", "fused"), ("theorem1", "literal"), ("theorem2", "fused"), ("theorem2", "literal")]


@pytest.mark.parametrize("name", SMALL)
def test_no_network_that_is_wrong_in_one_way_is_phi(name):
    task = SMALL[name]
    for what, module in wrong_modules(task):
        network = constructed(module, task)
        if what.startswith(REFUSED):  # by the check of a network, where the first image shows it
            with suppress(tmi.InputError):
                assert not is_phi(network), what
            continue
        assert not is_phi(network), what
        with pytest.raises(tmi.InputError, match="not φ of its task"):
            network.certificate(torch.zeros(1, *task.image_shape))


def test_a_single_window_of_a_small_task_is_found():
    task = SMALL["colour, different sizes"]
    neurons = len(tmi.build("theorem1", task).neurons("hidden"))
    for neuron in range(neurons):
        assert not is_phi(constructed(Changed(task, hidden=without([neuron])), task)), neuron


def test_large_tasks():
    assert np.prod(LARGE.windows, 1).sum() > EVERY_WINDOW
    assert is_phi(tmi.build("theorem1", LARGE))
    for what, module in wrong_modules(LARGE):
        with suppress(tmi.InputError) if what.startswith(REFUSED) else nullcontext():
            assert not is_phi(constructed(module, LARGE)), what


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("builder", "realisation"), BUILDS)
def test_every_construction_is_phi(name, builder, realisation):
    with warnings.catch_warnings(action="ignore"):  # a tiny ε is within reach of rounding in float32
        network = tmi.build(builder, SMALL[name], realisation=realisation)
    assert is_phi(network)


@settings(max_examples=60, deadline=None)
@given(tasks(), st.sampled_from(BUILDS))
def test_every_construction_of_any_task_is_phi(task, build):
    assert is_phi(tmi.build(build[0], task, realisation=build[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_that_computes_in_the_dtype_of_its_weights(dtype):
    from tmi.networks.phi import Formula

    task = SMALL["grey"]

    class Weighted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.formula = Formula(task, dtype)
            self.scale = torch.nn.Parameter(torch.ones((), dtype=dtype))

        def forward(self, x):
            return self.formula(x) * self.scale

    module = Weighted()
    network = tmi.Network(module, ["formula"], "constructed", task=task)
    assert is_phi(network)
    module.scale.data.mul_(1.01)  # the verdict is not kept: weights may change
    assert not is_phi(network)


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_every_tile_is_shown_at_its_distance(task):
    pasted = every_tile(task)
    windows = np.array(task.windows)[pasted.tile]
    assert (pasted.row < windows[:, 0]).all()
    assert (pasted.col < windows[:, 1]).all()
    assert {(t, s) for t, s in zip(pasted.tile, pasted.share, strict=True)} >= {
        (t, s) for t in range(len(task.tiles)) for s in SHARES
    }
    exact = pasted.share == 0
    places = set(zip(pasted.tile[exact], pasted.row[exact], pasted.col[exact], strict=True))
    assert len(places) == np.prod(task.windows, 1).sum()
    for images, part in render(task, pasted, seed=0):
        assert ((images >= 0) & (images <= 1)).all()
        for image, tile, row, col, share in zip(images.numpy(), *part, strict=True):
            one = task.tiles[tile]
            room = float((np.maximum(one.values, 1 - one.values) * one.support).sum())
            window = image[:, row : row + one.shape[1], col : col + one.shape[2]]
            assert one.distance(window) == pytest.approx(min(share * min(one.epsilon, room), room), abs=1e-12)


def test_images_come_in_bounded_batches_and_are_the_same_images(monkeypatch):
    task = SMALL["grey"]
    for pasted, most in ((every_tile(task), None), (random_places(task, 3), 2)):
        whole = torch.cat([images for images, _ in render(task, pasted, 0)])
        monkeypatch.setattr("tmi.networks.comparison._NEURONS_AT_ONCE", 3 * 60)  # 3 images, of 60 windows each
        batches = [images for images, _ in render(task, pasted, 0, most)]
        assert max(map(len, batches)) == (most or 3)
        assert len(batches[0]) == 1
        assert torch.equal(torch.cat(batches), whole)
        assert len(whole) == len(pasted.tile)
        monkeypatch.undo()
    assert len(next(iter(render(LARGE, every_tile(LARGE), 0)))[0]) == 1


def test_random_places_show_every_tile_and_are_others_than_those_of_is_phi():
    pasted = random_places(LARGE, 1)
    assert set(pasted.tile) == {0, 1, 2}
    assert len(pasted.tile) == 8
    corners = {(r, c) for r in (0, 24) for c in (0, 24)}
    assert not corners >= set(zip(pasted.row.tolist(), pasted.col.tolist(), strict=True))
