"""
One tile, many backgrounds
==========================

A data set keeps placements and backgrounds apart, so that "the same tile on another
background" is exact. Constructed networks give equal logits on all of them; a trained
network does not.
"""

import matplotlib.pyplot as plt

import tmi

data = tmi.generate("fashion", seed=0, samples=600, test_samples=100)
networks = {
    "Theorem 1": tmi.build("theorem1", data),
    "trained": tmi.build("cnn", data, seed=0, batch_size=20, epochs=8),
}

# %%
# Each data set has its law of backgrounds; here one scene is generated under several
# laws with the same seed.

laws = ["uniform", "gaussian", "constant", "correlated", "pink", "distractors"]
figure, axes = plt.subplots(
    2, len(laws), figsize=(10, 3.6), height_ratios=[2, 1], sharey="row"
)
for column, law in zip(axes.T, laws):
    scene = tmi.generate(
        "fashion", seed=0, samples=1, test_samples=1, background=law
    ).test[:1]
    column[0].imshow(scene.images[0, 0], cmap="gray", vmin=0, vmax=1)
    column[0].set(title=law, xticks=[], yticks=[])
    for number, (name, network) in enumerate(networks.items()):
        logits = network.logits(scene.images)[0]
        column[1].bar(
            number,
            logits[scene.labels[0]],
            color=["#0072B2", "#D55E00"][number],
            label=name,
        )
    column[1].set(xticks=[])
axes[1, 0].set_ylabel("logit of\nthe label")
axes[1, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
