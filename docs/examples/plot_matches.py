"""
Matches on an image
===================

A tile matches a window where its L1 distance is below ε (Definition 3.4). ``tmi.match``
compares every tile with every window and returns only the matches, so that one call
says what an image contains and where.
"""

import matplotlib.pyplot as plt

import tmi

data = tmi.generate("fashion", seed=0, samples=20, test_samples=8)
scenes = data.test[:4]
matches = tmi.match(scenes.images, data.task.tiles)
for i in range(len(matches.image)):
    name = data.task.tile_name(matches.tile[i])
    place = f"row {matches.row[i]}, column {matches.col[i]}"
    slack = f"slack {matches.slack[i]:g}"
    print(f"image {matches.image[i]} contains {name} at {place}; {slack}")

# %%
# The mask of a scene is the support of its tile at its place: the pixels that decide
# the class. No other pixel has an effect on the logits of a constructed network.

figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for axis, scene in zip(axes, range(4)):
    axis.imshow(scenes.images[scene, 0], cmap="gray", vmin=0, vmax=1)
    axis.contour(scenes.masks[scene], levels=[0.5], colors="#56B4E9", linewidths=1.5)
    axis.set(title=data.task.class_names[scenes.labels[scene]], xticks=[], yticks=[])
figure.suptitle("Test images of section 6.2; the support of the tile is outlined")
