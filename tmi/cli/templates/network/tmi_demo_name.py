"""The network demo-name for tmi."""

from __future__ import annotations

from collections import OrderedDict

import tmi
from tmi.params import Count, Positive


@tmi.hookimpl
def tmi_network_builders() -> dict[str, str]:
    """Name the networks of this package, and where their functions are."""
    return {"demo-name": "tmi_demo_name:demo_name"}


def demo_name(
    data: tmi.Dataset, *, filters: Count = 8, kernel: Count = 3, epochs: Count = 20, batch_size: Count = 50, lr: Positive = 0.02
) -> tmi.Network:
    """A convolution, a ReLU, the greatest value of each filter over all places, and a linear layer; trained with Adam.

    Its answer does not depend on the place of a tile, which a linear layer on all places has to learn.

    Parameters
    ----------
    filters, kernel : int
        The number of filters and their size.
    epochs, batch_size : int
        How long it is trained, and on how many images at a time.
    lr : float
        Adam's learning rate.
    """
    import torch
    from torch import nn

    channels, rows, cols = data.task.image_shape
    module = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, filters, min(kernel, rows, cols)),
            relu=nn.ReLU(),
            greatest=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
            logits=nn.Linear(filters, len(data.task.classes)),
        )
    )

    def fit() -> dict[str, list[float]]:
        optimizer, losses = torch.optim.Adam(module.parameters(), lr), []
        for _ in tmi.track(range(epochs), "training"):
            total = 0.0
            for batch in torch.randperm(len(data.train)).split(batch_size):
                scenes = data.train[batch]
                loss = nn.functional.cross_entropy(module(scenes.images), scenes.labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            losses.append(total / len(data.train))
        return {"loss": losses}

    history = tmi.train_once(module, fit)  # with a store it is trained once
    return tmi.Network(module, ["relu", "logits"], "trained", task=data.task, history=history)
