"""Section 6.1: a white or a black square on a small random image."""

from __future__ import annotations

import numpy as np

import tmi
from tmi.params import Count, Positive


def squares(*, seed: int, samples: Count = 400, test_samples: Count = 1000, epsilon: Positive = 0.5) -> tmi.Dataset:
    """Section 6.1: images of 4×4 with one 2×2 square, all white or all black, on uniform random pixels.

    White is 1 and black is 0. Every pixel of a square counts (full support): by Definition 3.1 a square of zeros would have none.

    Parameters
    ----------
    seed : int
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently of the training images.
    epsilon : float
        The tolerance ε, in summed absolute pixel difference over the four pixels. The two squares are 4 apart, so above 4 they
        cannot be told apart; from about 2.5 on nearly every random image shows both, and is redrawn in vain.

    Returns
    -------
    Dataset
        Images of shape (1, 4, 4), float32; classes "white" and "black".

    Raises
    ------
    InputError
        If ε is too large to tell the squares apart.
    """
    everywhere = np.ones((2, 2), bool)
    task = tmi.TemplateTask(
        [
            tmi.TileClass("white", [tmi.FeatureTile(np.ones((2, 2)), epsilon, everywhere)]),
            tmi.TileClass("black", [tmi.FeatureTile(np.zeros((2, 2)), epsilon, everywhere)]),
        ],
        image_shape=(1, 4, 4),
    )
    train, test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    return tmi.Dataset(task, tmi.Scenes.draw(task, samples, rng=train), tmi.Scenes.draw(task, test_samples, rng=test))
