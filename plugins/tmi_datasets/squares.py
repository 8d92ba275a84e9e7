"""Section 6.1: a black or a white square on a small random image."""

from __future__ import annotations

from typing import Literal

import numpy as np

import tmi
from tmi.params import Background, Count, Positive
from tmi.tasks.separation import with_auto_epsilon


def squares(
    *,
    seed: int,
    background: Background = "uniform",
    samples: Count = 400,
    test_samples: Count = 1000,
    epsilon: Positive | Literal["auto"] = 0.5,
) -> tmi.Dataset:
    """Section 6.1: images of 4×4 with one 2×2 square, all black or all white, on uniform random pixels.

    As in the paper grey values are ink on paper: the black square is four ones, and its logit is the first; the white square is
    four zeros. Every pixel of a square counts (full support): by Definition 3.1 a square of zeros would have none.

    Parameters
    ----------
    seed : int
    background : str
        The law of the backgrounds, with its settings in brackets: "uniform", as in the paper, or another one (``tmi list
        background``).
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently of the training images.
    epsilon : float or "auto"
        The tolerance ε, in summed absolute pixel difference over the four pixels. The two squares are 4 apart, so above 4 they
        cannot be told apart; from about 2.5 on nearly every random image shows both, and redrawing fails. "auto" is half that
        distance, 2: certificates are then as large as they can be, and redrawing prefers squares in the middle of the image.

    Returns
    -------
    Dataset
        Images of shape (1, 4, 4), float32; classes "black" and "white", in this order; drawn as ink.

    Raises
    ------
    InputError
        If ε is too large to tell the squares apart.
    """
    everywhere = np.ones((2, 2), bool)
    classes: tuple[tmi.TileClass, ...] = tuple(
        tmi.TileClass(name, [tmi.FeatureTile(np.full((2, 2), value), 1.0 if epsilon == "auto" else epsilon, everywhere)])
        for name, value in (("black", 1.0), ("white", 0.0))
    )
    if epsilon == "auto":
        classes = with_auto_epsilon(classes)
    task = tmi.TemplateTask(classes, image_shape=(1, 4, 4), ink=True)
    train, test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    drawn = [
        tmi.Scenes.draw(task, count, rng=rng, background=background) for count, rng in ((samples, train), (test_samples, test))
    ]
    return tmi.Dataset(task, drawn[0], drawn[1])
