from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.strategies import tasks
from tmi.networks.rounding import warn_of_rounding


def network_distances(image, tile, dtype, order):
    """t of the one window as a network sums it: σ(2y − 2c) − σ(y) + c in a dtype, term by term, in some order."""
    y, c = image.astype(dtype)[tile.support][order], tile.values.astype(dtype)[tile.support][order]
    terms = np.maximum(2 * y - 2 * c, 0), -np.maximum(y, 0), c
    summed = sum(t.astype(np.float64).sum() for t in terms)
    running = np.add.accumulate(np.stack(terms, 1).ravel())[-1]  # one after another, in its own dtype
    assert running.dtype == dtype
    return float(summed), float(running)


@given(st.data(), tasks(max_classes=1), st.integers(0, 2**32 - 1))
def test_bounds_what_a_network_errs(data, task, seed):
    rng = np.random.default_rng(seed)
    for tile, in_one, in_many in zip(
        task.tiles, tmi.rounding(task, torch.float32), tmi.rounding(task, torch.float32, additions=300), strict=True
    ):
        image = rng.random(tile.shape).astype(np.float32)
        exact = tile.distance(image)
        summed, running = network_distances(image, tile, np.float32, rng.permutation(int(tile.support.sum())))
        assert abs(summed - exact) <= in_one
        assert abs(running - exact) <= in_many


def test_the_size_of_it():
    data = tmi.generate("fashion", seed=0, samples=1, test_samples=1, source="sample")
    bound = tmi.rounding(data.task, torch.float32)
    assert 1e-5 < bound.min() <= bound.max() < 1e-4  # measured at 28×28: 4e-5
    assert tmi.rounding(data.task, torch.float64).max() < 1e-12
    assert (tmi.rounding(data.task, torch.float32, additions=20) > 10 * bound).all()


def at(epsilon, other=1.0):
    """Two one-pixel tiles, ε apart from each other by other − 0.5."""
    tiles = [tmi.TileClass(n, [tmi.FeatureTile(np.full((10, 10), v), epsilon)]) for n, v in (("half", 0.5), ("other", other))]
    return tmi.TemplateTask(tiles, (1, 10, 10))


def test_no_warning_where_there_is_room():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_rounding(at(1.0))
        warn_of_rounding(at(1e-6), dtype=torch.float64)


def test_warns_of_a_small_epsilon():
    with pytest.warns(
        tmi.RoundingWarning, match=r"tile half/0: epsilon = 1e-06 is within reach of float32 rounding, up to .*; use f"
    ):
        warn_of_rounding(at(1e-6))


def test_warns_of_a_near_class():
    with pytest.warns(tmi.RoundingWarning, match=r"distance to tile (half|other)/0 of another class, 50;"):
        warn_of_rounding(at(50 - 1e-6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_rounding(at(50 - 1e-6), dtype=torch.float64)


def test_takes_the_dtype_of_a_data_set():
    task = at(1e-6)
    for dtype in (np.float32, np.float64):
        scenes = tmi.Scenes(task, np.zeros((1, 1, 10, 10), dtype), [0], [0], [0])
        data = tmi.Dataset(task, scenes, scenes)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_rounding(data)
        assert len(caught) == (dtype == np.float32)
