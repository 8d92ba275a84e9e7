"""
Which neurons carry the answer
==============================

Activation patching exchanges the activations of one unit between a scene and its exact
counterfactual, where the tile is another one, and measures how much of the change of
the logit follows. On Theorem 1 two neurons carry all of it: that of the tile which was
taken away, and that of the other. In the trained network of this example many share it.
"""

import matplotlib.pyplot as plt
import numpy as np

import tmi

data = tmi.generate("fashion", seed=0, samples=600, test_samples=100)
networks = {
    "Theorem 1": tmi.build("theorem1", data),
    "trained": tmi.build("cnn", data, seed=0, batch_size=20, epochs=8),
}

figure, axis = plt.subplots(figsize=(6, 3))
for (name, network), colour in zip(networks.items(), ("#0072B2", "#D55E00")):
    result = tmi.probe("activation-patching", network, data)
    effects = np.sort(np.abs(result.arrays["pair_effect.noising.unit"].values[0]))[::-1]
    axis.semilogx(
        np.arange(1, len(effects) + 1),
        np.cumsum(effects) / effects.sum(),
        color=colour,
        marker=".",
        label=name,
    )
axis.set(
    xlabel="units, the one of greatest effect first",
    ylabel="share of the summed |effect|",
    ylim=(0, 1.05),
)
axis.legend()
