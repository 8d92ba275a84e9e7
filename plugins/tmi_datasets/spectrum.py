"""Section 7: classes that are continuous spectra of shapes, each covered by as few templates as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Background, Count, Positive

from .cover import PARTS, candidates, cover
from .fashion import ImageSize, fashion, which_images
from .tile_paths import STEPS, Kind, TilePath, tile_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXTENTS: dict[Kind, float] = {"rotation": 8, "scale": 0.1, "shear": 0.1, "grey": 0.1}
"""The extents where none is given."""


@tmi.external(which_images)
def spectrum(
    *,
    seed: int,
    kind: Kind = "rotation",
    extent: Positive | None = None,
    epsilon: Positive = 5.0,
    image_size: ImageSize = 40,
    background: Background = "uniform",
    samples: Count = 4000,
    test_samples: Count = 1000,
    source: str = "auto",
) -> tmi.Dataset:
    """Images of a Fashion-MNIST tile that is deformed continuously: every member of a spectrum has the class of its tile.

    Section 7 asks for features that are a continuous spectrum of shapes. Here each class is the spectrum of one tile, which is
    that of data set ``fashion`` with the same seed. Its templates are the tile and the fewest members that with it contain all
    others at the same place (Definition 3.4). So a class stays an image of the paper's, and both theorems have no error on it.
    Scenes show the templates; probe ``spectrum`` shows the members between them. In the rectangle of a tile, no member contains a
    template of another class.

    Parameters
    ----------
    seed : int
    kind : {"rotation", "scale", "shear", "grey"}
        "rotation" by s degrees about the centre; "scale" by the factor 1 + s; "shear", which moves each row by s columns for each
        row from the centre; "grey", which adds s to the pixels of the support, cut off at 0 and 1.
    extent : float or None
        A spectrum is all s from −extent to extent. None is 8 for rotation, 0.1 for the others.
    epsilon : float
        The tolerance ε of every template, in summed absolute pixel difference over its support. The number of templates is about
        the L1 length of the spectrum over 2ε.
    image_size : int
        Height and width of the images, at least 28.
    background : str
        The law of the backgrounds, with its settings in brackets: "uniform", as in the paper, or another one (``tmi list
        background``).
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently: they do not depend on ``samples``.
    source : str
        Where the tiles come from, as in ``fashion``.

    Returns
    -------
    Dataset
        Images of shape (1, image_size, image_size), float32. Its notes name the source and, for each class, the L1 length of its
        spectrum and the s of its templates.

    Raises
    ------
    InputError
        If the extent is too large for the kind, or a member of a class contains a template of another; the message names an
        extent at which the spectra are apart.
    DataFileError
        If the source is not found, or its files are not those of Fashion-MNIST.
    """
    start = fashion(seed=seed, image_size=image_size, samples=0, test_samples=0, epsilon=epsilon, source=source)
    extent = EXTENTS[kind] if extent is None else extent
    names = start.task.class_names
    paths = [tile_path(tile, kind, extent) for tile in start.task.tiles]
    templates = [cover(path, epsilon).strengths for path in paths]
    _check_apart(names, paths, templates, kind, extent, epsilon)
    classes = [
        tmi.TileClass(name, _tiles(path, strengths, epsilon))
        for name, path, strengths in zip(names, paths, templates, strict=True)
    ]
    task = tmi.TemplateTask(classes, start.task.image_shape)
    _, for_train, for_test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(3))
    train, test = (
        tmi.Scenes.draw(task, count, rng=rng, background=background)
        for count, rng in ((samples, for_train), (test_samples, for_test))
    )
    notes = {
        **start.notes,
        "extent": extent,
        "lengths": {name: round(path.length(extent), 3) for name, path in zip(names, paths, strict=True)},
        "templates": {name: strengths.round(6).tolist() for name, strengths in zip(names, templates, strict=True)},
    }
    return tmi.Dataset(task, train, test, notes=notes)


def _tiles(path: TilePath, strengths: NDArray[np.float64], epsilon: float) -> list[tmi.FeatureTile]:
    return [tmi.FeatureTile(values, epsilon, support) for values, support in zip(*path.at(strengths), strict=True)]


def _check_apart(
    names: Sequence[str],
    paths: Sequence[TilePath],
    templates: Sequence[NDArray[np.float64]],
    kind: Kind,
    extent: float,
    epsilon: float,
) -> None:
    """Refuse spectra of which a member contains a template of another class."""
    places = [candidates(path, epsilon / PARTS) for path in paths]
    if not len(_contained(paths, places, templates, epsilon)[0]):
        return
    # A smaller extent has other templates at its ends: any place may be one.
    member, template, first, second = _contained(paths, places, places, epsilon)
    reach = np.maximum(np.abs(first), np.abs(second))
    nearest = int(reach.argmin())
    largest = (np.ceil(reach[nearest] / STEPS[kind] * (1 - 1e-9)) - 1) * STEPS[kind]
    raise InputError(
        f"classes cannot be told apart under {kind} up to {extent:g}: {names[member[nearest]]} at {first[nearest]:.4g} is within "
        f"epsilon = {epsilon:g} of {names[template[nearest]]} at {second[nearest]:.4g}; use "
        + (f"an extent of at most {largest:.6g}, or a smaller epsilon" if largest > 0 else "a smaller epsilon")
    )


def _contained(
    paths: Sequence[TilePath], members: Sequence[NDArray[np.float64]], templates: Sequence[NDArray[np.float64]], epsilon: float
) -> tuple[NDArray[Any], ...]:
    """Find the members of each path near which one contains a template of another path; return both paths and both strengths.

    No member is farther than half an ``epsilon / PARTS`` along its path from one of those given.
    """
    reach = epsilon * (1 + 0.5 / PARTS)
    images = np.concatenate([path.at(strengths)[0] for path, strengths in zip(paths, members, strict=True)])
    tiles = [tile for path, strengths in zip(paths, templates, strict=True) for tile in _tiles(path, strengths, reach)]
    matches = tmi.match(images, tiles)
    image, tile = matches.image.numpy(), matches.tile.numpy()
    of_image, of_tile = (np.repeat(np.arange(len(paths)), [len(s) for s in group]) for group in (members, templates))
    other = of_image[image] != of_tile[tile]
    image, tile = image[other], tile[other]
    return of_image[image], of_tile[tile], np.concatenate(members)[image], np.concatenate(templates)[tile]
