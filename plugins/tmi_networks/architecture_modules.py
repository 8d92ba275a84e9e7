"""The untrained modules of `tmi_networks.architectures`. Each ReLU is a module of its own: attribution methods follow modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from .cnn import numbered


def multilayer_perceptron(shape: tuple[int, int, int], classes: int, widths: Sequence[int]) -> nn.Sequential:
    """Return fully connected layers of these widths, each with a ReLU, and a linear layer to the logits."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    inputs = [shape[0] * shape[1] * shape[2], *widths]
    for i, width in enumerate(widths):
        parts[numbered("hidden", i)] = nn.Sequential(nn.Linear(inputs[i], width), nn.ReLU())
    parts["logits"] = nn.Linear(inputs[-1], classes)
    return nn.Sequential(parts)


def vgg_like(shape: tuple[int, int, int], classes: int, channels: Sequence[int], convolutions: int) -> nn.Sequential:
    """Return blocks of 3×3 convolutions with batch normalisation and ReLU, a 2×2 max pooling after each, and a linear layer."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before, rows, cols = shape
    for block, width in enumerate(channels):
        for _ in range(convolutions):
            parts[numbered("conv", len(parts) - block)] = nn.Sequential(*_normalised(before, width), nn.ReLU())
            before = width
        parts[numbered("pool", block)] = nn.MaxPool2d(2)
        rows, cols = rows // 2, cols // 2
    parts["flatten"] = nn.Flatten()
    parts["logits"] = nn.Linear(before * rows * cols, classes)
    return nn.Sequential(parts)


def resnet_like(shape: tuple[int, int, int], classes: int, channels: Sequence[int], blocks: int) -> nn.Sequential:
    """Return a stem, stages of residual blocks, global average pooling and a linear layer."""
    stem = nn.Sequential(*_normalised(shape[0], channels[0]), nn.ReLU())
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
    before = channels[0]
    for stage, width in enumerate(channels):
        for number in range(blocks):
            stride = 2 if stage and not number else 1
            parts[numbered("block", stage * blocks + number)] = ResidualBlock(before, width, stride)
            before = width
    return nn.Sequential(parts | _head(before, classes))


def vision_transformer(
    shape: tuple[int, int, int], classes: int, patch: int, width: int, heads: int, depth: int
) -> nn.Sequential:
    """Return an embedding of patches, blocks of attention, a normalisation, the mean over the patches and a linear layer."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(embedding=PatchEmbedding(shape, patch, width))
    for i in range(depth):
        parts[numbered("block", i)] = EncoderBlock(width, heads)
    parts["norm"] = LayerNorm(width)
    return nn.Sequential(parts | _head(width, classes))


def _normalised(before: int, width: int, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """Return a convolution and its batch normalisation, which has the bias of both."""
    return nn.Conv2d(before, width, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(width)


def _head(width: int, classes: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), logits=nn.Linear(width, classes))


class ResidualBlock(nn.Module):
    """The basic block of He et al. (2016): two 3×3 convolutions, to which the block's input is added before the last ReLU.

    Where the number of channels or the size of the maps changes, the input passes a 1×1 convolution first.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = _normalised(before, width, stride=stride)
        self.relu = nn.ReLU()
        self.conv2, self.norm2 = _normalised(width, width)
        same = stride == 1 and before == width
        self.shortcut = nn.Identity() if same else nn.Sequential(*_normalised(before, width, 1, stride))
        self.relu2 = nn.ReLU()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps (N, width, rows / stride, cols / stride), at least 0."""
        change = self.norm2(self.conv2(self.relu(self.norm(self.conv(maps)))))
        output: torch.Tensor = self.relu2(change + self.shortcut(maps))
        return output


class PatchEmbedding(nn.Module):
    """A linear map of each patch, plus a learned vector for its position."""

    def __init__(self, shape: tuple[int, int, int], patch: int, width: int) -> None:
        super().__init__()
        channels, rows, cols = shape
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Parameter(torch.empty(width, rows // patch, cols // patch))
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return maps (N, width, rows / patch, cols / patch)."""
        embedded: torch.Tensor = self.patches(images) + self.positions
        return embedded


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of maps (N, channels, rows, cols), at each place."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps of the same shape."""
        return super().forward(maps.movedim(1, -1)).movedim(-1, 1)


class SelfAttention(nn.Module):
    """Self-attention over the places of maps, written out: `torch.nn.MultiheadAttention` skips hooks on its quick path."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Conv2d(width, width, 1) for _ in range(4))
        self.softmax = nn.Softmax(-1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps of the same shape; ``softmax`` returns the attention of each place to each, (N, heads, P, P)."""
        query, key, value = (part(maps).flatten(2).unflatten(1, (self.heads, -1)) for part in (self.query, self.key, self.value))
        attention = self.softmax(query.transpose(2, 3) @ key / query.shape[2] ** 0.5)
        mixed = (value @ attention.transpose(2, 3)).flatten(1, 2).unflatten(2, maps.shape[2:])
        output: torch.Tensor = self.output(mixed)
        return output


class EncoderBlock(nn.Module):
    """A block of Dosovitskiy et al. (2021): attention, then a perceptron at each place; each reads the sum so far and adds to it.

    What is read is normalised first; the sum is not.

    The linear maps at each place are 1×1 convolutions, so that all parts have maps (N, channels, rows, cols): one column of
    maps is what is elsewhere called a token.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.attention = LayerNorm(width), SelfAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.hidden = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.GELU())
        self.output = nn.Conv2d(2 * width, width, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps of the same shape."""
        maps = maps + self.attention(self.norm(maps))
        result: torch.Tensor = maps + self.output(self.hidden(self.norm2(maps)))
        return result
