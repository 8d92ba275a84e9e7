"""The data set demo-name for tmi."""

from __future__ import annotations

import numpy as np

import tmi
from tmi.params import Background, Count, Positive


@tmi.hookimpl
def tmi_dataset_generators() -> dict[str, str]:
    """Name the data sets of this package, and where their functions are."""
    return {"demo-name": "tmi_demo_name:demo_name"}


def demo_name(
    *,
    seed: int,
    size: Count = 8,
    samples: Count = 1000,
    test_samples: Count = 200,
    epsilon: Positive = 0.2,
    background: Background = "uniform",
) -> tmi.Dataset:
    """An upright or a diagonal cross of five white pixels, on a random background.

    Parameters
    ----------
    size : int
        Rows and columns of the images; at least 3.
    samples, test_samples : int
        Training and test images.
    epsilon : float
        By how much the pixels of a cross may differ from white and still show it.
    background : str
        The law of the backgrounds.
    """
    diagonal = np.eye(3) + np.eye(3)[::-1] > 0
    upright = np.zeros((3, 3), bool)
    upright[1], upright[:, 1] = True, True
    # The support of a tile is where it is not 0: the other four pixels may be anything.
    classes = [
        tmi.TileClass(name, [tmi.FeatureTile(cross.astype(float), epsilon)])
        for name, cross in (("upright", upright), ("diagonal", diagonal))
    ]
    task = tmi.TemplateTask(classes, image_shape=(1, size, size))
    train, test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    return tmi.Dataset(
        task,
        tmi.Scenes.draw(task, samples, rng=train, background=background),
        tmi.Scenes.draw(task, test_samples, rng=test, background=background),
    )
