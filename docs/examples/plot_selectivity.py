"""
Selectivity of constructed and trained units
============================================

The same measure on every layer of both kinds of network. Class selectivity is 1 for a
neuron that is active for one class alone. Its chance is drawn with shuffled labels:
units that are active on few images look selective by chance, so a value is only worth
its distance from that.
"""

import matplotlib.pyplot as plt
import numpy as np

import tmi

data = tmi.generate("fashion", seed=0, samples=600, test_samples=200)
networks = {
    "Theorem 1": tmi.build("theorem1", data),
    "trained": tmi.build("cnn", data, seed=0, batch_size=20, epochs=8),
}

figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharex=True)
for axis, (name, network), colour in zip(
    axes, networks.items(), ("#0072B2", "#D55E00")
):
    layer = network.layers[0]
    result = tmi.probe("selectivity", network, data)
    values = result.arrays[f"class_selectivity.{layer}"].values
    axis.hist(values[np.isfinite(values)], bins=np.linspace(0, 1, 21), color=colour)
    metric = f"class_selectivity.{layer}"
    axis.axvline(
        result.metrics[f"{metric}.chance"],
        color="black",
        linestyle="--",
        label="chance of the mean",
    )
    axis.set(
        title=f"{name}, layer {layer}: mean {result.metrics[metric]:.2f}",
        xlabel="class selectivity",
    )
    axis.legend()
axes[0].set_ylabel("neurons")
