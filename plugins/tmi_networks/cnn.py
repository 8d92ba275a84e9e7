"""A small convolutional network, trained by gradient descent: as in section 6, or with regularisers and other optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, NotNegative, Positive, Share

from .training import Optimizer, Options, check_data, trained

if TYPE_CHECKING:
    from torch import nn

Pool = Literal["none", "max", "average"]


@tmi.together("tmi_networks.population:train", "tmi_networks.population:group")
def cnn(
    data: tmi.Dataset,
    *,
    seed: int,
    filters: Count = 12,
    kernel: Count = 5,
    depth: Count = 1,
    pool: Pool = "none",
    hidden: Index = 0,
    epochs: Index = 15,
    lr: Positive = 0.03,
    batch_size: Count = 100,
    optimizer: Optimizer = "sgd",
    weight_decay: NotNegative = 0.0,
    activation_l1: NotNegative = 0.0,
    orthogonality: NotNegative = 0.0,
    filter_loss: NotNegative = 0.0,
    dropout: Share = 0.0,
    batch_norm: bool = False,
    early_stopping: Share = 0.0,
    patience: Count = 3,
) -> tmi.Network:
    """Train a network of convolutions and at most one hidden layer on the training images.

    The defaults are the network and the settings of section 6.2: one convolution with 12 filters of 5×5, and a linear layer from
    it to the logits. Stochastic gradient descent without momentum on the cross-entropy, from torch's default initial weights. Its
    layers have the names of Theorem 1's: ``conv``, ``hidden`` if it has one, and ``logits``, each with its own ReLU where it has
    one. Further convolutions are ``conv2``, ``conv3``, …

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images. The same seed gives the same network, bit for bit, however many
        threads torch may use: the training takes one, which for networks of this size is also the quickest.
    filters : Count
        Filters of each convolution.
    kernel : Count
        Side of their kernels in pixels; stride 1, no padding.
    depth : Count
        Convolutions, one after the other.
    pool : {"none", "max", "average"}
        The 2×2 pooling after the ReLU of each convolution. It is not part of layer ``conv`` but a module of its own: ``pool``
        after ``conv``, ``pool2`` after ``conv2``, and so on.
    hidden : Index
        Neurons of a hidden layer between the convolutions and the logits; 0, as in the paper, omits it.
    epochs : Index
        Passes over the training images; 0 gives the initial weights.
    lr : Positive
        Learning rate.
    batch_size : Count
        Images a step; the last batch of an epoch may be smaller.
    optimizer : {"sgd", "momentum", "adam"}
        Stochastic gradient descent without momentum, with momentum 0.9, or Adam (Kingma and Ba 2015), as torch.optim has them.
    weight_decay : NotNegative
        This times each weight is added to its gradient: an L2 penalty.
    activation_l1 : NotNegative
        Weight in the loss of the L1 norm of an image's hidden activations, summed over the layers, mean over the batch.
    orthogonality : NotNegative
        Weight in the loss of ‖W Wᵀ − I‖², where the rows of W are the filters of a convolution, summed over the convolutions.
    filter_loss : NotNegative
        Weight in the loss of the class-specific filter loss of Zhang, Wu and Zhu (2018) on the maps of the last convolution. Its
        gradient falls with the fourth power of the map's side, so that the weight is large: of the order of 1e6 for 36×36.
    dropout : Share
        Share of the inputs of each linear layer that a training step sets to 0, drawn at random; the modules ``dropout`` before
        the first linear layer and ``dropout2`` before the second are no layers of the network.
    batch_norm : bool
        Whether a batch normalisation stands between each convolution or hidden linear layer and its ReLU, in one named layer.
    early_stopping : Share
        Share of the training images, drawn at random, that is held out: the network has the weights of the epoch with the least
        cross-entropy on them. 0 trains on all images and takes the last weights.
    patience : Count
        With early stopping: training ends after so many epochs, one after another, without a lower cross-entropy.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history ``loss`` (mean cross-entropy, without the terms added to it) and
        ``accuracy`` (share right) of each epoch, both over the training images, before the gradient step on them and with the
        dropout and normalisation of training; with early stopping also ``held_out_loss``, after each epoch.

    Raises
    ------
    InputError
        For a bare task, a kernel larger than the image or than the maps that it is applied to, maps too small to pool,
        training scenes without a class, dropout of all inputs, early stopping that holds out no image or all, a batch of one
        image that is to be normalised, or when the loss or a weight stops being a finite number.
    """
    maps = check(data, kernel, depth, pool, dropout)

    def make() -> nn.Module:
        return make_module(data.task, maps, filters, kernel, pool, hidden, dropout, batch_norm)

    options = Options(optimizer, weight_decay, activation_l1, orthogonality, filter_loss, early_stopping, patience)
    return trained(data, seed, make, layer_names(depth, hidden), epochs, lr, batch_size, options)


def layer_names(depth: int, hidden: int) -> list[str]:
    """Return the names of the layers of a network with so many convolutions and hidden neurons."""
    return [*(numbered("conv", i) for i in range(depth)), *(["hidden"] if hidden else []), "logits"]


def check(data: tmi.Dataset, kernel: int, depth: int, pool: Pool, dropout: float = 0.0) -> list[tuple[int, int]]:
    """Check that a network of these settings can be trained on a data set; see `cnn` for the settings.

    Returns
    -------
    list of (int, int)
        The rows and columns of each convolution's maps.

    Raises
    ------
    InputError
        For a bare task, a kernel or pooling that does not fit, training scenes without a class, and dropout of all inputs.
    """
    if dropout == 1:
        raise InputError("dropout: 1 sets every input of the linear layers to 0; use less than 1")
    check_data("cnn", data)
    _, m, n = data.task.image_shape
    what = "images"
    maps = []
    for i in range(depth):
        if kernel > min(m, n):
            raise InputError(f"kernel: {kernel}×{kernel} is larger than the {what}, {m}×{n}")
        m, n = m - kernel + 1, n - kernel + 1
        maps.append((m, n))
        if pool != "none":
            if min(m, n) < 2:
                raise InputError(f"pool: the maps of {numbered('conv', i)}, {m}×{n}, are too small for 2×2")
            m, n = m // 2, n // 2
        what = f"maps that {numbered('conv', i + 1)} is laid on"
    return maps


def make_module(
    task: tmi.TemplateTask,
    maps: list[tuple[int, int]],
    filters: int,
    kernel: int,
    pool: Pool,
    hidden: int,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> nn.Module:
    """Return the untrained module, with torch's default initial weights; see `cnn` for the settings, and `check` for ``maps``."""
    from collections import OrderedDict

    from torch import nn

    pools = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(len(maps)):
        channels = filters if i else task.image_shape[0]
        # One ReLU and one pooling each, never shared: attribution methods follow modules, not calls.
        norm = [nn.BatchNorm2d(filters)] if batch_norm else []
        parts[numbered("conv", i)] = nn.Sequential(nn.Conv2d(channels, filters, kernel), *norm, nn.ReLU())
        if pool != "none":
            parts[numbered("pool", i)] = pools[pool](2)
    m, n = maps[-1] if pool == "none" else (side // 2 for side in maps[-1])
    width = filters * m * n
    parts["flatten"] = nn.Flatten()
    if dropout:
        parts["dropout"] = nn.Dropout(dropout)
    if hidden:
        parts["hidden"] = nn.Sequential(nn.Linear(width, hidden), *([nn.BatchNorm1d(hidden)] if batch_norm else []), nn.ReLU())
        if dropout:
            parts["dropout2"] = nn.Dropout(dropout)
    parts["logits"] = nn.Linear(hidden or width, len(task.classes))
    return nn.Sequential(parts)


def numbered(name: str, index: int) -> str:
    """Return ``conv``, ``conv2``, ``conv3``, … for 0, 1, 2, and so on."""
    return f"{name}{index + 1}" if index else name
