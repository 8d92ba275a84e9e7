"""
Logits over places and backgrounds
==================================

The paper's Figure 4 in a few lines: the logit of the label for one tile under 100
backgrounds, and at all its places.
"""

import matplotlib.pyplot as plt

import tmi

data = tmi.generate("fashion", seed=0, samples=600, test_samples=100)
networks = {
    "Theorem 1": tmi.build("theorem1", data),
    "trained": tmi.build("cnn", data, seed=0, batch_size=20, epochs=8),
}

figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for axis, probe, title in zip(
    axes,
    ("background-robustness", "translation-robustness"),
    ("100 backgrounds", "places"),
):
    for (name, network), colour in zip(networks.items(), ("#0072B2", "#D55E00")):
        result = tmi.probe(probe, network, data)
        logits, label = result.arrays["logits"].values, result.arrays["label"].values
        axis.hist(logits[0, :, label[0]], bins=20, color=colour, alpha=0.7, label=name)
        spread = result.metrics["logit_std"]
        print(f"{name}: standard deviation of a logit over {title}: {spread:.3f}")
    axis.set(title=f"one tile, {title}", xlabel="logit of the label")
axes[0].set_ylabel("images")
axes[1].legend()
