"""
A network of your own
=====================

``tmi.wrap`` makes a network of any module; every probe then treats it as the built
ones. Here the activations of a network that was trained by a loop of one's own are
compared with the exact features.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import tmi

torch.manual_seed(0)
data = tmi.generate("squares", seed=0, samples=400, test_samples=100)
module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
optimizer = torch.optim.Adam(module.parameters(), 0.01)
losses = []
for _ in range(60):
    loss = nn.functional.cross_entropy(module(data.train.images), data.train.labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

network = tmi.wrap(module, data)
print(network)
for probe in ("accuracy", "activation-sparsity", "selectivity"):
    metrics = tmi.probe(probe, network, data).metrics
    print(probe, {name: round(value, 2) for name, value in list(metrics.items())[:3]})

# %%

figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
axes[0].plot(losses, color="#D55E00")
axes[0].set(xlabel="step", ylabel="training loss")
rates = (
    tmi.probe("activation-sparsity", network, data)
    .arrays[f"firing_rate.{network.layers[0]}"]
    .values
)
axes[1].hist(rates, bins=20, color="#D55E00")
axes[1].set(
    xlabel="share of the test images on which a neuron is active", ylabel="neurons"
)
