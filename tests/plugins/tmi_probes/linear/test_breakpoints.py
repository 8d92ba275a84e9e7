"""Breakpoints along a path, against a fine grid and against the slopes between them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_probes.linear.breakpoints import of_formula, of_layers
from tmi_probes.linear.exact_network import ExactNetwork

from ..toys import deep

GRID = np.linspace(0, 1, 20_001)[:, None, None, None]


@given(st.integers(0, 40))
def test_breakpoints_are_where_patterns_change(seed):
    exact = ExactNetwork(deep(seed=seed))
    ends = torch.from_numpy(np.random.default_rng(seed).random((2, 1, 8, 8)))
    found, complete = of_layers(exact, ends[:1], ends[1:], 1000)
    assert complete
    images = torch.from_numpy(GRID * ends[1].numpy() + (1 - GRID) * ends[0].numpy())
    patterns = np.concatenate([np.concatenate([s.values > 0 for s in part], axis=1) for _, part in exact.states(images)])
    changed = np.flatnonzero((patterns[1:] != patterns[:-1]).any(1))
    step = 1 / 20_000
    # Every change seen on the grid is a breakpoint between the two points, and the grid sees every breakpoint but close pairs.
    for i in changed:
        assert ((found >= GRID[i].item() - 1e-9) & (found <= GRID[i + 1].item() + 1e-9)).any()
    assert len(np.unique((found / step).astype(int))) >= len(changed) >= len(np.unique((found / step).astype(int))) - 3


@given(st.integers(0, 20))
def test_between_breakpoints_the_network_is_linear(seed):
    exact = ExactNetwork(deep(seed=seed))
    ends = torch.from_numpy(np.random.default_rng(seed).random((2, 1, 8, 8)))
    found, _ = of_layers(exact, ends[:1], ends[1:], 1000)
    alpha = np.concatenate([[0], found, [1]])
    middle = (alpha[1:] + alpha[:-1]) / 2

    def at(values):
        a = torch.from_numpy(values)[:, None, None, None]
        return exact.logits((1 - a) * ends[:1] + a * ends[1:])

    ends_of_pieces = at(alpha)
    assert at(middle) == pytest.approx((ends_of_pieces[1:] + ends_of_pieces[:-1]) / 2, abs=1e-10)


@given(st.integers(0, 60))
def test_the_formulas_breakpoints_are_the_kinks_of_phi(seed):
    rng = np.random.default_rng(seed)
    classes = [tmi.TileClass(n, [tmi.FeatureTile(rng.random((2, 2)), 0.8)]) for n in "ab"]
    try:
        task = tmi.TemplateTask(classes, (1, 3, 4))
    except tmi.InputError:  # the tiles are too near
        return
    start, end = rng.random((2, 1, 3, 4))
    start[0, :2, 1:3] = task.tiles[0].values[0]
    found = of_formula(task, start, end)
    alpha = np.concatenate([[0], found, [1]])

    def slope(low, high):
        a, b = low + (high - low) / 3, low + (high - low) * 2 / 3
        images = np.stack([(1 - t) * start + t * end for t in (a, b)])
        low_value, high_value = np.asarray(task.phi(images))
        return (high_value - low_value) / (b - a)

    slopes = np.array([slope(*pair) for pair in pairwise(alpha)])
    assert (np.abs(np.diff(slopes, axis=0)).max(1) > 1e-9).all()  # the slope changes at each
    images = (1 - alpha[:, None, None, None]) * start + alpha[:, None, None, None] * end
    middle = (images[1:] + images[:-1]) / 2
    phi, half = np.asarray(task.phi(images)), np.asarray(task.phi(middle))
    assert half == pytest.approx((phi[1:] + phi[:-1]) / 2, abs=1e-12)  # and nowhere else
