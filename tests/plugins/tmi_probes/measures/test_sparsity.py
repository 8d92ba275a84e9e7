"""Counts of weights against the same counts on dense arrays, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from tmi_probes.measures.sparsity import matrix_zero_share, paths, pattern

VALUES = st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 0.5, 0.004])


@st.composite
def layers(draw):
    """A weight of a few outputs and inputs, with a kernel or without one, and its number of groups."""
    groups = draw(st.integers(1, 3))
    kernel = draw(st.sampled_from([(), (2,), (1, 3), (2, 2)]))
    shape = groups * draw(st.integers(1, 3)), draw(st.integers(1, 4)), *kernel
    if not kernel:
        groups = 1
    return draw(hnp.arrays(np.float64, shape, elements=VALUES)), groups


def dense_form(weight, groups):
    """The weights of the layer without groups: 0 between groups."""
    outputs, inputs = weight.shape[:2]
    whole = np.zeros((outputs, inputs * groups, *weight.shape[2:]))
    for output in range(outputs):
        group = output // (outputs // groups)
        whole[output, group * inputs : (group + 1) * inputs] = weight[output]
    return whole


@settings(deadline=None)
@given(layers(), st.integers(1, 5))
def test_counts_are_those_of_the_dense_weights(layer, bins):
    weight, groups = layer
    whole = dense_form(weight, groups)
    found = pattern(torch.from_numpy(weight), groups)
    assert found.weights == whole.size
    assert found.taps == np.prod(whole.shape[2:])
    assert found.zero_share == pytest.approx((whole == 0).mean())
    assert found.binary_share == pytest.approx(((whole == 0) | (whole == 1)).mean())
    largest = np.abs(whole).max()
    assert found.near_zero_share == pytest.approx((np.abs(whole) < 0.01 * largest).mean() if largest else 1)
    assert found.distinct_values == len(set(whole.ravel().tolist()))
    connected = (whole != 0).reshape(*whole.shape[:2], -1).any(2)
    assert found.outputs_per_input.tolist() == connected.sum(0).tolist()
    assert found.inputs_per_output.tolist() == connected.sum(1).tolist()
    assert found.blocks.nnz == connected.sum()
    density = found.density(bins)
    assert density.shape == tuple(min(bins, side) for side in connected.shape)
    parts = [np.arange(side) * count // side for side, count in zip(connected.shape, density.shape, strict=True)]
    for row, col in np.ndindex(density.shape):
        assert density[row, col] == pytest.approx((whole[parts[0] == row][:, parts[1] == col] != 0).mean())


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=VALUES))
def test_layouts_of_a_tensor_count_alike(weight):
    dense = torch.from_numpy(weight)
    # Entries that are stored though they are 0 count as 0.
    index = torch.from_numpy(np.indices(weight.shape).reshape(2, -1))
    stored = torch.sparse_coo_tensor(index, dense.flatten(), weight.shape, check_invariants=True)
    for other in (dense.to_sparse(), dense.to_sparse_csr(), stored, stored.coalesce().to_sparse_csr()):
        found, expected = pattern(other), pattern(dense)
        assert found.weights == expected.weights
        assert sorted(found.values) == sorted(expected.values)
        assert (found.blocks.toarray() == expected.blocks.toarray()).all()


def test_chance_is_the_mean_over_random_connections():
    rng = np.random.default_rng(0)
    found = pattern(torch.from_numpy((rng.random((5, 40)) < 0.3).astype(float)))
    density = found.blocks.nnz / 200
    random = [((rng.random((5, 40)) < density).sum(0) == 1).mean() for _ in range(2000)]
    assert found.one_output_by_chance() == pytest.approx(np.mean(random), abs=0.01)


@pytest.mark.parametrize("stride", [1, 2])
def test_zeros_of_the_matrix_of_a_convolution(stride):
    conv = nn.Conv2d(2, 3, (2, 3), stride=stride, bias=False, dtype=torch.float64)
    with torch.no_grad():
        conv.weight *= torch.rand(conv.weight.shape) < 0.5
    image = torch.zeros(1, 2, 6, 7, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(conv, image).reshape(-1, image.numel())
    share = matrix_zero_share(pattern(conv.weight), (6, 7))
    assert share == pytest.approx(float((jacobian == 0).double().mean()))


def test_paths_are_gradients_of_the_network_of_ones():
    torch.manual_seed(0)
    modules = [nn.Conv2d(1, 4, 2), nn.Conv2d(4, 3, 1), nn.Linear(3 * 9, 6), nn.Linear(6, 2)]
    with torch.no_grad():
        for module in modules:
            module.weight.copy_(torch.rand(module.weight.shape) < 0.3)
            module.bias.zero_()
    found = paths([pattern(module.weight) for module in modules])
    x = torch.rand(1, 1, 4, 4)
    outputs = []
    for number, module in enumerate(modules):
        x = module(x.flatten(1) if number == 2 else x)
        x.retain_grad()
        outputs.append(x)
    for logit in range(2):
        for output in outputs:
            output.grad = None
        x[0, logit].backward(retain_graph=True)
        for counts, output in zip(found, outputs, strict=True):
            gradient = output.grad[0] if output.ndim == 2 else output.grad[0].sum((1, 2))
            assert counts[logit].tolist() == gradient.tolist()


def test_paths_end_where_the_sizes_do_not_fit():
    weights = [torch.ones(3, 2), torch.ones(4, 5), torch.ones(2, 4)]
    found = paths([pattern(weight) for weight in weights])
    assert found[0] is None
    assert found[1].tolist() == [[1] * 4] * 2
