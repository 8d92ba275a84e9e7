"""
What each neuron means
======================

The hidden neurons of Theorem 1 are monosemantic: each stands for one tile at one
window, and is active only where that window contains the tile. The network says so
itself, and so do its activations.
"""

import matplotlib.pyplot as plt
import numpy as np

import tmi

data = tmi.generate("squares", seed=0, samples=50, test_samples=10)
network = tmi.build("theorem1", data)
hidden = network.activations(data.test.images[:5])["hidden"]
meaning = network.neurons("hidden")
for image, neuron in hidden.nonzero().tolist():
    value = f"{hidden[image, neuron]:.2f}"
    print(f"image {image}: neuron {neuron} = {value}, {meaning.loc[neuron].to_dict()}")

# %%
# A row of the picture is a tile, a point of it a window; an active neuron is drawn at
# its window.

count = len(data.task.tiles)
windows = np.array([meaning.row.max() + 1, meaning.col.max() + 1])
figure, axes = plt.subplots(count + 1, 5, figsize=(7.5, 4.6))
for image in range(5):
    axes[0, image].imshow(data.test.images[image, 0], cmap="gray_r", vmin=0, vmax=1)
    for tile in range(count):
        grid = np.zeros(windows)
        chosen = meaning[meaning.tile == tile]
        grid[chosen.row, chosen.col] = hidden[image, chosen.index.to_numpy()]
        axes[tile + 1, image].imshow(grid, cmap="Blues", vmin=0, vmax=hidden.max())
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
for tile in range(count):
    axes[tile + 1, 0].set_ylabel(
        f"neurons of\n{data.task.tile_name(tile)}", rotation=0, ha="right", va="center"
    )
axes[0, 0].set_ylabel("image", rotation=0, ha="right", va="center")
figure.suptitle("Five images of section 6.1, and the neurons that are active on each")
