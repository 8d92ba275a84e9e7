"""
Tiles from pictures of your own
===============================

A picture becomes a tile: transparent pixels are outside its support. A template task is
a list of classes and the size of the images, and Theorem 1 solves it without training.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

import tmi

folder = Path(tempfile.mkdtemp())


def draw(name, shape, grey):
    """Save a picture of a shape with a transparent background."""
    picture = Image.new("LA", (24, 24))
    getattr(ImageDraw.Draw(picture), shape)((3, 3, 20, 20), fill=(grey, 255))
    picture.save(folder / name)


draw("disc.png", "ellipse", 230)
draw("box.png", "rectangle", 60)
tiles = {
    name: tmi.FeatureTile.from_image(folder / f"{name}.png", epsilon=4.0)
    for name in ("disc", "box")
}
task = tmi.TemplateTask(
    [tmi.TileClass(name, [tile]) for name, tile in tiles.items()],
    image_shape=(1, 48, 48),
)
print(tmi.separation(task.classes))

# %%
# Two images by hand: noise with a shape in it.

images = np.random.default_rng(0).uniform(size=(2, 1, 48, 48))
for image, tile in zip(images, tiles.values()):
    window = image[:, 10 : 10 + tile.shape[1], 14 : 14 + tile.shape[2]]
    window[tile.support] = tile.values[tile.support]
print(task.labels(images), tmi.build("theorem1", task).logits(images))

figure, axes = plt.subplots(1, 2, figsize=(5, 2.6))
for axis, image, label in zip(axes, images, task.labels(images)):
    axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    axis.set(title=task.class_names[label], xticks=[], yticks=[])
