"""
Attribution maps beside the truth
=================================

Which pixels decide is known, so that a map can be compared with them. On a constructed
network gradients are zero outside the tile's support; on a trained one they are not.
"""

import matplotlib.pyplot as plt

import tmi

data = tmi.generate("fashion", seed=0, samples=600, test_samples=100)
networks = {
    "Theorem 1": tmi.build("theorem1", data),
    "trained": tmi.build("cnn", data, seed=0, batch_size=20, epochs=8),
}
methods = ["saliency", "input-x-gradient", "integrated-gradients(steps=20)", "sobel"]

figure, axes = plt.subplots(2, len(methods) + 1, figsize=(10, 4.2))
for row, (name, network) in zip(axes, networks.items()):
    for axis, method in zip(row[1:], methods):
        settings = {"images": 10, "measures": ["mass", "auc"]}
        result = tmi.probe(
            "attribution-bench", network, data, method=method, **settings
        )
        skill = result.metrics["skill.mean"]
        axis.imshow(result.arrays["maps"].values[0], cmap="magma")
        axis.set(
            title=f"{method.partition('(')[0]}\nskill {skill:.2f}", xticks=[], yticks=[]
        )
    row[0].imshow(result.arrays["images"].values[0, 0], cmap="gray")
    row[0].contour(result.arrays["masks"].values[0], levels=[0.5], colors="#56B4E9")
    row[0].set(title="image and truth", xticks=[], yticks=[])
    row[0].set_ylabel(name)

# %%
# Skill is 0 for a random map and 1 for the true mask. Sobel edges are a control: they
# do not look at the network at all.
