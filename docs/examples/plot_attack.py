"""
How far an image is from another answer
=======================================

The smallest change of an image that alters the answer lies between a sound radius,
below which no change can, and the smallest change that an attack finds. On Theorem 1
the two are equal.
"""

import matplotlib.pyplot as plt

import tmi

data = tmi.generate("fashion", seed=0, samples=20, test_samples=40)
result = tmi.probe("attack", tmi.build("theorem1", data), data, images=20)
print(
    {
        name: round(value, 3)
        for name, value in result.metrics.items()
        if name.startswith("radius")
    }
)

figure, axes = plt.subplots(2, 4, figsize=(8, 4))
before, after = result.arrays["images"].values, result.arrays["attacked.l1"].values
for column, image, attacked in zip(axes.T, before, after):
    column[0].imshow(image[0], cmap="gray", vmin=0, vmax=1)
    drawn = column[1].imshow((attacked - image)[0], cmap="RdBu_r", vmin=-0.5, vmax=0.5)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("image")
axes[1, 0].set_ylabel("smallest change\nthat was found")
figure.colorbar(drawn, ax=axes, label="change of a pixel")
