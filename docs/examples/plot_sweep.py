"""
A study over settings and seeds
===============================

A suite is a table: data sets, networks, probes, and what is swept. Its results are kept
in a store, so that the second run computes nothing; the interval is over the training
seeds.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

import tmi

suite = {
    "name": "samples",
    "seeds": [0, 1, 2],
    "datasets": {
        "digits": {
            "use": "digits",
            "image_size": 10,
            "test_samples": 200,
            "sweep": {"samples": [200, 400, 800]},
        }
    },
    "networks": {
        "constructed": {"use": "theorem1"},
        "trained": {"use": "cnn", "filters": 4, "epochs": 10, "batch_size": 20},
    },
    "probes": {"accuracy": {"use": "accuracy"}},
}
results = tmi.run(suite, store=tempfile.mkdtemp())
frame = results.to_frame()
frame = frame[frame.metric == "accuracy"]
print(frame.pivot_table(index="samples", columns="network", values="value"))

# %%
# ``tmi.statistics.over_seeds`` gives the interval by Student's t over the seeds.

figure, axis = plt.subplots(figsize=(5, 3))
for network, colour in (("constructed", "#0072B2"), ("trained", "#D55E00")):
    groups = frame[frame.network == network].groupby("samples").value
    sizes = list(groups.groups)
    estimates = [tmi.statistics.over_seeds(values) for _, values in groups]
    means = np.array([estimate.value for estimate in estimates])
    low, high = (
        np.array([getattr(estimate, side) for estimate in estimates])
        for side in ("low", "high")
    )
    axis.errorbar(
        sizes,
        means,
        [means - low, high - means],
        color=colour,
        marker="o",
        capsize=3,
        label=network,
    )
axis.set(xlabel="training images", ylabel="accuracy", xticks=sizes)
axis.legend()
