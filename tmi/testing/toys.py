"""The toy on which plug-ins are tried: a data set of sixteen images and an untrained network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset

SHAPE = (1, 6, 6)
"""The shape of the toy's images."""


def tiny_data() -> Dataset:
    """Return eight training and eight test images of 6×6 pixels, each with a white or a black square of 2×2.

    Returns
    -------
    Dataset
        Always the same. The squares have ε = 0.1, and the classes are called white and black.
    """
    import numpy as np

    from tmi.tasks.dataset import Dataset
    from tmi.tasks.scenes import Scenes
    from tmi.tasks.task import TemplateTask
    from tmi.tasks.tiles import FeatureTile, TileClass

    full = np.ones((1, 2, 2), bool)
    classes = [
        TileClass(name, [FeatureTile(np.full((1, 2, 2), value), 0.1, full)]) for name, value in (("white", 1.0), ("black", 0.0))
    ]
    task, rng = TemplateTask(classes, SHAPE), np.random.default_rng(0)
    return Dataset(task, Scenes.draw(task, 8, rng=rng), Scenes.draw(task, 8, rng=rng))


def tiny_network(data: Dataset | None = None) -> Network:
    """Return an untrained network for `tiny_data`: a convolution with two filters, a ReLU and a linear layer.

    Parameters
    ----------
    data : Dataset, optional
        Images of one channel and 6×6 pixels in two classes; by default those of `tiny_data`.

    Returns
    -------
    Network
        Its layers are ``relu``, (2, 5, 5), and ``logits``. Its weights are always the same.
    """
    from collections import OrderedDict

    import torch

    from tmi.networks.network import Network
    from tmi.runtime.seeds import fixed_seed

    with fixed_seed(0):
        conv = OrderedDict(conv=torch.nn.Conv2d(1, 2, 2), relu=torch.nn.ReLU())
        module = torch.nn.Sequential(conv | OrderedDict(flatten=torch.nn.Flatten(), logits=torch.nn.Linear(50, 2)))
    return Network(module, ["relu", "logits"], "trained", task=(data or tiny_data()).task)


def few(data: Dataset, of_each: int = 4) -> Dataset:
    """Return a data set with the first few images of each class, in their order.

    Parameters
    ----------
    data : Dataset
    of_each : int
        How many images of each class both parts keep; fewer where there are not as many.
    """

    def first(labels: Iterable[int]) -> list[int]:
        count: dict[int, int] = {}
        chosen = []
        for number, label in enumerate(labels):
            count[label] = count.get(label, 0) + 1
            if count[label] <= of_each:
                chosen.append(number)
        return chosen

    train, test = (part[first(part.labels.tolist())] for part in (data.train, data.test))
    return replace(data, train=train, test=test)
