from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tmi.errors import InputError
from tmi_attribution.methods import superpixels as sp
from tmi_attribution.methods.occlusion import occlusion

sides = st.integers(1, 12)


@given(sides, sides, st.integers(1, 6))
def test_the_grid(rows, columns, cells):
    """Every pixel lies in a rectangular cell; heights and widths differ by at most one pixel."""
    grid = sp.superpixels(torch.zeros(1, 1, rows, columns), cells)[0, 0].numpy()
    down, across = min(cells, rows), min(cells, columns)
    assert sorted(set(grid.flat)) == list(range(down * across))
    shapes = []
    for cell in range(down * across):
        row, column = np.nonzero(grid == cell)
        shapes.append((np.ptp(row) + 1, np.ptp(column) + 1))
        assert len(row) == np.prod(shapes[-1])
    assert (np.ptp(shapes, axis=0) <= 1).all()


class Product(nn.Module):
    """The product of the four quarters' means: a game that no linear model plays."""

    def forward(self, x):
        quarters = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return torch.stack([quarters.prod(1), quarters.sum(1) + quarters[:, 0] * quarters[:, 3]], 1)


def shapley(module, image, baseline, target):
    """The definition: the mean over all orders of what a cell adds when it appears."""
    grid = sp.superpixels(image, 2)
    value = torch.zeros(4, dtype=image.dtype)
    orders = list(permutations(range(4)))
    for order in orders:
        shown = baseline.clone()
        for cell in order:
            before = module(shown)[0, target]
            shown = torch.where(grid == cell, image, shown)
            value[cell] += module(shown)[0, target] - before
    return (value / len(orders))[grid[0, 0]] / (image[0].numel() / 4)


@pytest.mark.parametrize("target", [0, 1])
def test_shapley_values_by_definition(target):
    image, baseline = torch.rand(2, 1, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = shapley(Product(), image, baseline, target).expand(3, 6, 6)
    given = (Product(), image, torch.tensor([target]))
    exact = sp.shapley_exact(*given, baselines=baseline)
    assert torch.allclose(exact[0].double(), expected, atol=1e-8)
    torch.manual_seed(0)
    kernel = sp.kernel_shap(*given, baselines=baseline, seed=0, cells=2, draws=800)
    sampled = sp.shapley_sampling(*given, baselines=baseline, seed=0, cells=2, draws=800)
    for found in (kernel, sampled):
        assert torch.allclose(found[0].double(), expected, atol=0.1 * float(expected.abs().max()))


def test_permutation_is_the_mean_change_over_the_references():
    torch.manual_seed(0)
    image, references = torch.rand(1, 1, 4, 4, dtype=torch.float64), torch.rand(3, 1, 4, 4, dtype=torch.float64)
    module = Product()
    found = sp.feature_permutation(module, image, torch.tensor([0]), references=references, seed=0, cells=2, draws=3000)
    grid = sp.superpixels(image, 2)
    for cell in range(4):
        changed = torch.stack([torch.where(grid == cell, reference[None], image)[0] for reference in references])
        expected = (module(image)[0, 0] - module(changed)[:, 0].mean()) / 4
        assert found[grid == cell].tolist() == pytest.approx([float(expected)] * 4, rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 4)])
def test_small_images(size):
    module = nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], 2)).requires_grad_(False)
    image = torch.rand(1, 1, *size)
    expected = image * module[1].weight[1].reshape(image.shape)
    for method, more in (
        (sp.feature_ablation, {}),
        (sp.shapley_sampling, {"seed": 0}),
        (sp.kernel_shap, {"seed": 0, "draws": 200}),
        (occlusion, {}),
    ):
        found = method(module, image, torch.tensor([1]), baselines=torch.zeros_like(image), **more)
        assert torch.allclose(found, expected, atol=1e-5)


def test_occlusion_covers_every_pixel_or_says_so():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    given = (module, torch.rand(1, 1, 8, 8), torch.tensor([1]))
    baselines = torch.zeros(1, 1, 8, 8)
    assert (occlusion(*given, baselines=baselines, window=3, stride=3) != 0).all()
    with pytest.raises(InputError, match="window: 9 is larger than the image, 8×8"):
        occlusion(*given, baselines=baselines, window=9)
    with pytest.raises(InputError, match="pixels would be left out"):
        occlusion(*given, baselines=baselines, window=2, stride=3)


def test_lime_with_a_large_penalty_says_nothing():
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    given = (module, torch.rand(1, 1, 4, 4), torch.tensor([1]))
    assert (sp.lime(*given, baselines=torch.zeros(1, 1, 4, 4), seed=0, alpha=100.0) == 0).all()
