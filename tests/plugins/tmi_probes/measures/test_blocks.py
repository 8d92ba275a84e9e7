"""The block structure of weights, on graphs that can be drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tmi_probes.measures.blocks import Blocks, blocks


def test_separate_classes_are_as_modular_as_can_be():
    weight = np.kron(np.eye(5), np.ones((1, 4)))
    assert blocks(weight) == Blocks(5, pytest.approx(1 / 5), pytest.approx(1 - 1 / 5))


def test_everything_with_everything():
    assert blocks(np.ones((3, 6))) == Blocks(1, 1.0, pytest.approx(0))
    assert blocks(np.zeros((3, 6))) is None
    assert blocks(np.ones((1, 1))) == Blocks(1, 1.0, pytest.approx(0))


def test_neurons_without_an_edge_are_no_component():
    weight = np.zeros((4, 5))
    weight[0, 0] = weight[0, 1] = -2.0
    weight[2, 4] = 1.0
    found = blocks(weight)
    assert found.components == 2
    assert found.largest == pytest.approx(3 / 5)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(-3, 3).map(float)))
def test_the_plain_formula(weight):
    found = blocks(weight)
    if not weight.any():
        assert found is None
        return
    size, home = np.abs(weight), np.abs(weight).argmax(0)
    total = size.sum()
    expected = sum(
        size[o, i] - size[o].sum() * size[:, i].sum() / total
        for o in range(len(weight))
        for i in range(weight.shape[1])
        if home[i] == o
    )
    assert found.modularity == pytest.approx(expected / total, abs=1e-12)
    outputs, inputs = weight.shape
    reach = np.eye(outputs + inputs, dtype=bool)
    reach[:outputs, outputs:] |= size > 0
    reach |= reach.T
    for _ in range(outputs + inputs):
        reach = reach @ reach
    connected = np.r_[size.any(1), size.any(0)]
    parts = {tuple(row) for row in reach[connected]}
    assert found.components == len(parts)
    assert found.largest == pytest.approx(max(map(sum, parts)) / connected.sum())
