"""What the tests of both theorems compare with: the formulas in plain autograd, with the gradients of the layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

EXACT = {torch.float32: 1e-5, torch.float64: 1e-9}


def hidden_by_formula(images, task):
    """ε − Σ_S (σ(2y − 2c) − σ(y) + c), then ReLU, in plain autograd: what the layers compute, and their gradient."""
    parts = []
    for tile in task.tiles:
        _, high, wide = tile.shape
        y = images.unfold(2, high, 1).unfold(3, wide, 1)  # (N, C, rows, cols, k, l)
        c = torch.from_numpy(tile.values.copy()).to(images.dtype)[:, None, None]
        support = torch.from_numpy(tile.support.copy())[:, None, None]
        difference = ((2 * y - 2 * c).relu() - y.relu() + c) * support
        parts.append((tile.epsilon - difference.double().sum((1, 4, 5))).to(images.dtype).relu().flatten(1))
    return torch.cat(parts, 1)


def class_sums(hidden, task):
    label = torch.from_numpy(np.repeat(task.tile_class, np.array(task.windows).prod(1)))
    return torch.stack([hidden[:, label == i].double().sum(1) for i in range(len(task.classes))], 1).to(hidden.dtype)


def input_gradient(function, images, upstream):
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(images) * upstream).sum(), images)
    return gradient


def differences(images, tile):
    """|y − c| by the identity, over the support, (N, rows, cols, C, k, l)."""
    _, high, wide = tile.shape
    y = images.unfold(2, high, 1).unfold(3, wide, 1)
    c = torch.from_numpy(tile.values.copy()).to(images.dtype)[:, None, None]
    support = torch.from_numpy(tile.support.copy())[:, None, None]
    return (((2 * y - 2 * c).relu() - y.relu() + c) * support).permute(0, 2, 3, 1, 4, 5)


def hidden_by_patches(images, task):
    """The plain formula where a 2×2 patch without a difference has no derivative: the gradient of Theorem 2's layers."""
    parts = []
    for tile in task.tiles:
        difference = nn.functional.pad(differences(images, tile), (0, tile.shape[2] % 2, 0, tile.shape[1] % 2))
        patches = difference.unfold(4, 2, 2).unfold(5, 2, 2).sum((3, 6, 7)).relu()
        parts.append((tile.epsilon - patches.sum((3, 4))).relu().flatten(1))
    return torch.cat(parts, 1)
