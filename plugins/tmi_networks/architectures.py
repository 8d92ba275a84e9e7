"""Networks of the architectures that people use, trained from scratch: a perceptron, and small forms of VGG, ResNet and ViT."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, NotNegative, Positive, Share

from .cnn import numbered
from .training import Optimizer, Options, check_data, trained

if TYPE_CHECKING:
    from torch import nn

# The modules are in `architecture_modules`, which imports torch: these functions import it when they are called.


def mlp(
    data: tmi.Dataset,
    *,
    seed: int,
    widths: list[Count] = [128, 64],  # noqa: B006
    epochs: Index = 15,
    lr: Positive = 0.001,
    batch_size: Count = 100,
    optimizer: Optimizer = "adam",
    weight_decay: NotNegative = 0.0,
    early_stopping: Share = 0.0,
    patience: Count = 3,
) -> tmi.Network:
    """Train a multilayer perceptron: fully connected layers, each with a ReLU, and a linear layer to the logits.

    Its layers are ``hidden``, ``hidden2``, …, each with its ReLU, and ``logits``.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images, as for `cnn`.
    widths : list of Count
        Neurons of each hidden layer; an empty list gives a linear classifier.
    epochs, lr, batch_size, optimizer, weight_decay, early_stopping, patience
        The training; see `cnn`.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history of `cnn`.

    Raises
    ------
    InputError
        For a bare task, no training images, or when training diverges.
    """
    check_data("mlp", data)

    def make() -> nn.Module:
        from .architecture_modules import multilayer_perceptron

        return multilayer_perceptron(*_sizes(data), widths)

    layers = [*_names("hidden", len(widths)), "logits"]
    options = Options(optimizer, weight_decay, early_stopping=early_stopping, patience=patience)
    return trained(data, seed, make, layers, epochs, lr, batch_size, options)


def vgg(
    data: tmi.Dataset,
    *,
    seed: int,
    channels: list[Count] = [8, 16, 32],  # noqa: B006
    convolutions: Count = 2,
    epochs: Index = 8,
    lr: Positive = 0.03,
    batch_size: Count = 100,
    optimizer: Optimizer = "sgd",
    weight_decay: NotNegative = 0.0,
    early_stopping: Share = 0.0,
    patience: Count = 3,
) -> tmi.Network:
    """Train a small form of VGG (Simonyan and Zisserman 2015), with batch normalisation and one linear layer.

    Blocks of 3×3 convolutions that keep the size of the maps, each block with a 2×2 max pooling at its end. Its layers are
    ``conv``, ``conv2``, …, each with its normalisation and its ReLU, and ``logits``; the modules ``pool``, ``pool2``, … are no
    layers of the network.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images, as for `cnn`.
    channels : list of Count
        Filters of the convolutions of each block.
    convolutions : Count
        Convolutions of a block.
    epochs, lr, batch_size, optimizer, weight_decay, early_stopping, patience
        The training; see `cnn`.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history of `cnn`.

    Raises
    ------
    InputError
        For a bare task, no training images, no block, maps too small to pool, a batch of one image, or when training diverges.
    """
    check_data("vgg", data)
    _check_channels("vgg", channels, "block")
    rows, cols = data.task.image_shape[1:]
    most = min(rows, cols).bit_length() - 1
    if len(channels) > most:
        raise InputError(
            f"vgg: channels: images of {rows}×{cols} can be halved {most} times, not {len(channels)}; give at most {most} blocks"
        )

    def make() -> nn.Module:
        from .architecture_modules import vgg_like

        return vgg_like(*_sizes(data), channels, convolutions)

    layers = [*_names("conv", len(channels) * convolutions), "logits"]
    options = Options(optimizer, weight_decay, early_stopping=early_stopping, patience=patience)
    return trained(data, seed, make, layers, epochs, lr, batch_size, options)


def resnet(
    data: tmi.Dataset,
    *,
    seed: int,
    channels: list[Count] = [8, 16, 32],  # noqa: B006
    blocks: Count = 1,
    epochs: Index = 8,
    lr: Positive = 0.03,
    batch_size: Count = 100,
    optimizer: Optimizer = "momentum",
    weight_decay: NotNegative = 0.0,
    early_stopping: Share = 0.0,
    patience: Count = 3,
) -> tmi.Network:
    """Train a small form of ResNet (He et al. 2016): a stem, stages of basic blocks, global average pooling, a linear layer.

    The stem is a 3×3 convolution with batch normalisation and ReLU. A basic block has two such convolutions, and adds its input
    before the last ReLU. The first block of every stage but the first halves the maps, and a 1×1 convolution with batch
    normalisation brings its input to the same shape. Its layers are ``stem``, ``block``, ``block2``, …, and ``logits``.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images, as for `cnn`.
    channels : list of Count
        Channels of each stage; the stem has those of the first.
    blocks : Count
        Blocks of a stage.
    epochs, lr, batch_size, optimizer, weight_decay, early_stopping, patience
        The training; see `cnn`.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history of `cnn`.

    Raises
    ------
    InputError
        For a bare task, no training images, no stage, a batch of one image, or when training diverges.
    """
    check_data("resnet", data)
    _check_channels("resnet", channels, "stage")

    def make() -> nn.Module:
        from .architecture_modules import resnet_like

        return resnet_like(*_sizes(data), channels, blocks)

    layers = ["stem", *_names("block", len(channels) * blocks), "logits"]
    options = Options(optimizer, weight_decay, early_stopping=early_stopping, patience=patience)
    return trained(data, seed, make, layers, epochs, lr, batch_size, options)


def vit(
    data: tmi.Dataset,
    *,
    seed: int,
    patch: Count = 8,
    width: Count = 32,
    heads: Count = 4,
    depth: Count = 2,
    epochs: Index = 15,
    lr: Positive = 0.001,
    batch_size: Count = 100,
    optimizer: Optimizer = "adam",
    weight_decay: NotNegative = 0.0,
    early_stopping: Share = 0.0,
    patience: Count = 3,
) -> tmi.Network:
    """Train a small vision transformer (Dosovitskiy et al. 2021), whose logits are a linear map of the mean over the patches.

    A linear map of each patch plus a learned vector for its position; blocks of attention and a perceptron with one hidden layer
    of twice the width (GELU), which each read the sum of all so far, after layer normalisation, and add to it; a last
    normalisation, the mean over the patches instead of a class token, and a linear layer.

    Its layers are ``embedding``; of each block ``block.hidden``, the hidden neurons of its perceptron, and ``block``, the sum of
    all so far (``block2.hidden``, ``block2``, …); and ``logits``. All but the logits are maps (channels, rows, cols) with one
    place a patch, so that probes of maps apply. ``block.attention.softmax`` gives the attention from each patch to each.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images, as for `cnn`.
    patch : Count
        Side of a patch in pixels; it divides the sides of the image.
    width : Count
        Channels of the embedding.
    heads : Count
        Heads of each attention; their number divides the width.
    depth : Count
        Blocks.
    epochs, lr, batch_size, optimizer, weight_decay, early_stopping, patience
        The training; see `cnn`.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history of `cnn`.

    Raises
    ------
    InputError
        For a bare task, no training images, a patch or heads that do not divide, or when training diverges.
    """
    check_data("vit", data)
    _, rows, cols = data.task.image_shape
    if rows % patch or cols % patch:
        raise InputError(f"vit: patch: {patch} does not divide the images, {rows}×{cols}; use {_choices(math.gcd(rows, cols))}")
    if width % heads:
        raise InputError(f"vit: heads: {heads} does not divide the width, {width}; use {_choices(width)}")

    def make() -> nn.Module:
        from .architecture_modules import vision_transformer

        return vision_transformer(*_sizes(data), patch, width, heads, depth)

    blocks = [layer for block in _names("block", depth) for layer in (f"{block}.hidden", block)]
    layers = ["embedding", *blocks, "logits"]
    options = Options(optimizer, weight_decay, early_stopping=early_stopping, patience=patience)
    return trained(data, seed, make, layers, epochs, lr, batch_size, options)


def _sizes(data: tmi.Dataset) -> tuple[tuple[int, int, int], int]:
    """Return the shape of the images and the number of classes."""
    return data.task.image_shape, len(data.task.classes)


def _names(name: str, count: int) -> list[str]:
    return [numbered(name, i) for i in range(count)]


def _check_channels(builder: str, channels: list[int], part: str) -> None:
    if not channels:
        raise InputError(f"{builder}: channels: give one number a {part}, as in [8, 16]; the list is empty")


def _choices(number: int) -> str:
    """Return the divisors of a number in words."""
    *most, last = [str(n) for n in range(1, number + 1) if number % n == 0]
    return f"{', '.join(most)} or {last}" if most else last
