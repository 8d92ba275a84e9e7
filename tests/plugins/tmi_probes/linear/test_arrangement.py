"""Regions of one layer: Zaslavsky's numbers by enumeration, and by a sample that reaches them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_probes.linear.arrangement import regions_of_layer, zaslavsky

GENERIC = [(6, 4, 57), (8, 4, 163), (8, 6, 247)]


@pytest.mark.parametrize(("neurons", "dimension", "regions"), GENERIC)
@pytest.mark.parametrize("seed", [0, 1])
def test_known_numbers_by_enumeration(neurons, dimension, regions, seed):
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(neurons, dimension)), rng.normal(size=neurons)
    found = regions_of_layer(weight, bias)
    assert zaslavsky(neurons, dimension) == len(found) == len(np.unique(found, axis=0)) == regions


@pytest.mark.parametrize(("neurons", "dimension", "regions"), GENERIC)
def test_known_numbers_by_a_sample_that_reaches_them(neurons, dimension, regions):
    # Every vertex is where d of the hyperplanes meet; around it lie 2^d regions, and every region has a vertex or is far out.
    from itertools import combinations, product

    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(neurons, dimension)), rng.normal(size=neurons)
    points = []
    for chosen in map(list, combinations(range(neurons), dimension)):
        corner = np.linalg.solve(weight[chosen], -bias[chosen])
        steps = np.linalg.solve(weight[chosen], np.array(list(product([-1e-6, 1e-6], repeat=dimension))).T).T
        points.append(corner + steps)
    patterns = np.unique(np.concatenate(points) @ weight.T + bias > 0, axis=0)
    assert len(patterns) == regions


@given(st.integers(0, 5), st.integers(1, 3), st.integers(0, 99))
def test_every_sampled_pattern_is_enumerated(neurons, dimension, seed):
    rng = np.random.default_rng(seed)
    weight, bias = rng.integers(-1, 2, (neurons, dimension)).astype(float), rng.integers(-1, 2, neurons).astype(float)
    found = {tuple(row) for row in regions_of_layer(weight, bias)}
    assert len(found) <= zaslavsky(neurons, dimension)
    points = rng.normal(size=(300, dimension)) * 3
    values = points @ weight.T + bias
    assert {tuple(row) for row in values > 0} <= found


def test_not_generic_layers_have_fewer():
    assert len(regions_of_layer(np.array([[1.0, 0], [1, 0]]), np.array([0.0, 1]))) == 3  # parallel
    assert len(regions_of_layer(np.array([[1.0, 0], [2, 0]]), np.array([0.0, 0]))) == 2  # the same twice
    assert len(regions_of_layer(np.zeros((2, 3)), np.array([1.0, 0]))) == 1
    assert regions_of_layer(np.empty((0, 3)), np.empty(0)).shape == (1, 0)


def test_bad_input():
    with pytest.raises(tmi.InputError, match="expected weight"):
        regions_of_layer(np.ones((2, 3)), np.ones(3))
    with pytest.raises(tmi.InputError, match="finite"):
        regions_of_layer(np.full((2, 3), np.nan), np.ones(2))
    with pytest.raises(tmi.InputError, match="at least 0"):
        zaslavsky(-1, 2)
