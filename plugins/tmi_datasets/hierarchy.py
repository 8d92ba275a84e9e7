"""The random hierarchy model: classes that are made of parts of parts, with synonyms, as tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Background, Count, Index, Positive

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.int64]

Several = Annotated[int, msgspec.Meta(ge=2)]

_LARGEST = 64  # pixels of a tile's side: Theorem 2 then has six levels


def hierarchy(
    *,
    seed: int,
    levels: Count = 2,
    features: Several = 4,
    synonyms: Count = 2,
    side: Several = 2,
    classes: Several | None = None,
    tiles_per_class: Count = 32,
    margin: Index = 4,
    background: Background = "uniform",
    samples: Count = 4000,
    test_samples: Count = 1000,
    epsilon: Positive = 1.0,
) -> tmi.Dataset:
    """The random hierarchy model (Cagnetta et al. 2024): strings that a random grammar makes of a class, as tiles.

    The grammar has L levels. Each of v features of a level can be produced as any of m synonyms, each of s features of the level
    below; those of the highest level are the classes. The productions of a level are drawn at random without repetition, so that
    no two features have one in common, and a string is of one class alone. A class has m^((s^L − 1)/(s − 1)) strings.

    Strings are laid out in the plane: a production is a square of ``side`` × ``side`` features, s = side². With side 2 these are
    the squares into which Theorem 2 cuts tiles; a string in one row of pixels would be cut at other places than the grammar's.
    A feature of the lowest level is the model's one-hot code as a picture: a black square with one white pixel, 2 from each
    other feature. The square's side is the least power of two with room for v pixels. Every pixel of a tile counts.

    Parameters
    ----------
    seed : int
        Chooses the grammar, the strings, the places and the backgrounds.
    levels : int
        L. A tile's side is side^L squares.
    features : int
        v, on every level but the highest.
    synonyms : int
        m.
    side : int
        √s.
    classes : int or None
        None is as many as features.
    tiles_per_class : int
        All strings of a class if it has no more, else so many different ones, drawn at random.
    margin : int
        How many rows and columns an image has beyond a tile, which is at a random place; 0 is the model itself, images without a
        background.
    background : str
        The law of the backgrounds, with its settings in brackets (``tmi list background``).
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently: they do not depend on ``samples``. They show the same strings.
    epsilon : float
        The tolerance ε, in summed absolute pixel difference. Two strings are at least 2 apart, so that up to 2 fits any grammar.

    Returns
    -------
    Dataset
        Images of float32, classes "0", "1", …. Its notes hold the grammar, ``rules``: for each level from the highest the
        productions of each feature, as whole numbers, row by row; `feature_maps` reads from it which features a tile consists of.

    Raises
    ------
    InputError
        If there are too few productions for the synonyms, a tile has more than 64 pixels a side, or ε is too large.
    """
    classes = features if classes is None else classes
    for_rules, for_tiles, for_train, for_test = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(4)
    )
    _check_size(levels, features, synonyms, side, max(classes, features if levels > 1 else 0))
    rules = [_rules(for_rules, features, synonyms, side, classes if level == 0 else features) for level in range(levels)]
    task = tmi.TemplateTask(
        [
            tmi.TileClass(
                str(label), [_tile(text, features, epsilon) for text in _strings(for_tiles, rules, label, tiles_per_class)]
            )
            for label in range(classes)
        ],
        image_shape=(1, *[side**levels * _square(features) + margin] * 2),
    )
    train, test = (
        tmi.Scenes.draw(task, count, rng=rng, background=background)
        for count, rng in ((samples, for_train), (test_samples, for_test))
    )
    return tmi.Dataset(task, train, test, notes={"rules": [rule.reshape(*rule.shape[:2], -1).tolist() for rule in rules]})


def feature_maps(data: tmi.Dataset) -> list[Array]:
    """Return the features of all levels of each tile.

    Parameters
    ----------
    data : Dataset
        Of `hierarchy`.

    Returns
    -------
    list of ndarray of int64, shape (T, side^(L − ℓ), side^(L − ℓ)) for ℓ = 0, …, L
        From the lowest level, which the pixels show, to the classes, one for each tile. Each is read from the one below by the
        grammar, in which a production belongs to one feature.
    """
    rules = [np.array(rule) for rule in data.notes["rules"]]
    side = round(rules[0].shape[2] ** 0.5)
    tiles = np.stack([tile.values[0] for tile in data.task.tiles])
    square = tiles.shape[1] // side ** len(rules)
    maps = [_blocks(tiles, square).argmax(-1)]
    for rule in reversed(rules):
        of = {tuple(production): feature for feature, synonyms in enumerate(rule.tolist()) for production in synonyms}
        parts = _blocks(maps[-1], side)
        found = [of[tuple(part)] for part in parts.reshape(-1, side**2).tolist()]
        maps.append(np.array(found).reshape(parts.shape[:-1]))
    return maps


def feature_recovery(network: tmi.Network, data: tmi.Dataset, *, seed: int = 0) -> pd.DataFrame:
    """Find for each feature, and each of its productions, the single unit that shows best whether it is there.

    Parameters
    ----------
    network : Network
    data : Dataset
        Of `hierarchy` with ``margin=0``, so that each place of the grammar is at one place of the images.
    seed : int
        Of the control.

    Returns
    -------
    DataFrame
        A row for each layer and each level of the grammar from 0 (the pictures) to L (the classes). ``feature``: the area under
        the ROC curve of the best unit, for high or for low values, averaged over features and places; 1 where each feature has a
        unit that tells it from the others. ``production``: the same for the productions, NaN at level 0. ``chance``: as
        ``feature``, with the images shuffled. Features that all test images or none show at a place are left out.

    Raises
    ------
    InputError
        If the data set has another generator, or a margin.
    """
    import pandas as pd

    if "rules" not in data.notes or data.task.tiles[0].shape != data.task.image_shape:
        raise InputError('feature_recovery: needs data of generator "hierarchy" with margin = 0')
    maps = [one[data.test.tile.numpy()] for one in feature_maps(data)]
    shuffled = np.random.default_rng(seed).permutation(len(data.test))
    rows = []
    for layer, activations in network.activations(data.test.images).items():
        units = activations.flatten(1).double().numpy()
        for level, features in enumerate(maps):
            parts = maps[level - 1] if level else None
            rows.append(
                {
                    "layer": layer,
                    "level": level,
                    "feature": _best_unit(units, features),
                    "production": np.nan if parts is None else _best_unit(units, _numbered(parts, features.shape[1])),
                    "chance": _best_unit(units, features[shuffled]),
                }
            )
    return pd.DataFrame(rows).set_index(["layer", "level"])


def _numbered(parts: Array, blocks: int) -> Array:
    """Return for each block of features (N, n, n) the number of what it shows, int64 (N, blocks, blocks)."""
    cut = _blocks(parts, parts.shape[1] // blocks)
    _, number = np.unique(cut.reshape(-1, cut.shape[-1]), axis=0, return_inverse=True)
    return number.reshape(cut.shape[:-1])


def _best_unit(units: NDArray[np.float64], shown: Array) -> float:
    """Return the mean over values and places of ``shown`` (N, n, n) of the best unit's AUC, high or low."""
    from scipy.stats import rankdata

    present = (shown.reshape(len(shown), -1, 1) == np.unique(shown)).reshape(len(shown), -1).astype(np.float64)
    present = present[:, (present != present[0]).any(0)]
    count = present.sum(0)[:, None]
    area = (present.T @ rankdata(units, axis=0) - count * (count + 1) / 2) / (count * (len(shown) - count))
    return float(np.abs(area - 0.5).max(1).mean() + 0.5)


def _square(features: int) -> int:
    """Return the side of the picture of a feature."""
    side = 2
    while side**2 < features:
        side *= 2
    return side


def _check_size(levels: int, features: int, synonyms: int, side: int, most: int) -> None:
    if most * synonyms > features ** (side**2):
        raise InputError(
            f"synonyms: {most} features of {synonyms} synonyms each need {most * synonyms} productions, and {features} features "
            f"in squares of {side}×{side} make only {features ** (side**2)}"
        )
    square = _square(features)
    if side**levels * square > _LARGEST:
        raise InputError(
            f"levels: a tile has {side}^{levels}·{square} = {side**levels * square} pixels a side, more than {_LARGEST}; use "
            "fewer levels"
        )


def _rules(rng: np.random.Generator, features: int, synonyms: int, side: int, above: int) -> Array:
    """Draw different productions for each feature of the level above, int64 (above, synonyms, side, side)."""
    chosen: dict[tuple[int, ...], None] = {}
    while len(chosen) < above * synonyms:
        chosen[tuple(rng.integers(0, features, side**2).tolist())] = None
    return np.array(list(chosen)).reshape(above, synonyms, side, side)


def _strings(rng: np.random.Generator, rules: list[Array], label: int, most: int) -> list[Array]:
    """Return all strings of a class if there are at most so many, in random order, else so many different ones."""
    synonyms, s = rules[0].shape[1], rules[0].shape[2] ** 2
    most = min(most, synonyms ** sum(s**level for level in range(len(rules))))
    found: dict[bytes, Array] = {}
    while len(found) < most:
        text = np.full((1, 1), label)
        for rule in rules:
            parts = rule[text, rng.integers(0, synonyms, text.shape)]
            text = parts.swapaxes(1, 2).reshape(len(text) * rule.shape[2], -1)
        found[text.tobytes()] = text
    return list(found.values())


def _tile(text: Array, features: int, epsilon: float) -> tmi.FeatureTile:
    square = _square(features)
    pictures = np.eye(square**2)[:features].reshape(features, square, square)
    values = pictures[text].swapaxes(1, 2).reshape(len(text) * square, -1)
    return tmi.FeatureTile(values, epsilon, np.ones(values.shape, bool))


def _blocks(images: NDArray[Any], side: int) -> NDArray[Any]:
    """Cut images (T, n, n) into squares, each as a row of pixels: (T, n/side, n/side, side²)."""
    count, n, _ = images.shape
    return images.reshape(count, n // side, side, n // side, side).swapaxes(2, 3).reshape(count, n // side, n // side, -1)
