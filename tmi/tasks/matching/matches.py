"""Exact, sparse L1 template matching: every window of every image in which a tile is contained.

`match` calls one of three back ends, `match_batches` calls it batch by batch: `reference` is the plain formula, `cpu` the fast
version, `device` the version in plain torch for images on a GPU. The fast ones exclude windows by bounds that cannot lose a
match, and all three sum the others in float64, row by row, so that they return the same windows and the same slack to the last
bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError, did_you_mean
from tmi.tasks.images import check_images
from tmi.tasks.tiles import FeatureTile

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Matches:
    """Where tiles are contained in images, sorted by image, tile, row and column.

    Attributes
    ----------
    image, tile, row, col : Tensor of int64, shape (M,)
        Index of the image and of the tile; the window's top left corner.
    slack : Tensor, shape (M,)
        ε − t > 0, in the images' dtype, from a distance summed in float64. It is the activation of Theorem 1's hidden neuron.
        A slack too small for the dtype becomes its smallest normal number, not 0.
    """

    image: torch.Tensor
    tile: torch.Tensor
    row: torch.Tensor
    col: torch.Tensor
    slack: torch.Tensor

    def __len__(self) -> int:
        return len(self.slack)

    def __repr__(self) -> str:
        return f"Matches({len(self):,} windows with a tile)"

    def _repr_html_(self) -> str:
        from tmi.views.tasks import matches

        return matches(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how many windows contain a tile, by their place, on ``ax``, or on the axes of a new figure; return the axes."""
        from tmi.views.task_plots import matches

        return matches(self, ax)


BACKENDS = ("auto", "cpu", "torch", "reference")


def match(images: Any, tiles: FeatureTile | Sequence[FeatureTile], *, backend: str = "auto") -> Matches:
    """Find every window that contains a tile: t(window) < ε, strictly.

    It needs a few megabytes a thread besides its result, for any number of images: they are read block by block.

    Parameters
    ----------
    images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
        On any device.
    tiles : FeatureTile or sequence of FeatureTile
        They may differ in size. Their values are rounded to the images' dtype first, so that a pasted tile has slack exactly ε
        (rounded to that dtype). Distances are summed in float64 for either dtype.
    backend : {"auto", "cpu", "torch", "reference"}
        ``"cpu"`` is compiled, ``"torch"`` computes on the images' device, ``"reference"`` is the plain formula; ``"auto"`` takes
        ``"torch"`` for images on a CUDA device, else ``"cpu"``. All give the same result.

    Returns
    -------
    Matches
        Sparse and exact: windows that are not listed have activation 0. On the images' device.

    Raises
    ------
    InputError
        For bad images (see `tmi.tasks.images.check_images`), a tile larger than the images or with other channels, or an
        unknown back end.
    """
    import torch

    images = check_images(images)
    tiles = _tiles(tiles, backend)
    _, channels, m, n = images.shape
    for index, tile in enumerate(tiles):
        if tile.shape[0] != channels:
            raise InputError(f"tiles[{index}]: has {tile.shape[0]} channels, the images {channels}")
        if tile.shape[1] > m or tile.shape[2] > n:
            raise InputError(f"tiles[{index}]: {tile.shape[1]}×{tile.shape[2]} is larger than the images, {m}×{n}")
    if not len(images) or not tiles:
        places, slack = torch.empty((0, 4), dtype=torch.int64), torch.empty(0)
    elif backend == "torch" or (backend == "auto" and images.device.type == "cuda"):
        from .device import match_tensors

        places, slack = match_tensors(images, tiles)
    else:
        if backend == "reference":
            from .reference import match_arrays
        else:
            from .cpu import match_arrays
        places, slack = (torch.from_numpy(part) for part in match_arrays(images.detach().cpu().numpy(), tiles))
    image, tile_index, row, col = places.T
    order = (((image * max(1, len(tiles)) + tile_index) * m + row) * n + col).argsort()
    image, tile_index, row, col = (part[order].to(images.device) for part in places.T)
    rounded = slack[order].to(images.device, images.dtype)
    # float32 has no number for a slack of 1e-50; "contained" must remain equivalent to "slack above 0".
    return Matches(image, tile_index, row, col, rounded.clamp_min(torch.finfo(images.dtype).tiny))


def match_batches(
    batches: Iterable[Any], tiles: FeatureTile | Sequence[FeatureTile], *, backend: str = "auto"
) -> Iterator[Matches]:
    """Match batch after batch, in memory that does not grow with their number.

    Parameters
    ----------
    batches : iterable of Tensor or array, each float32 or float64, shape (N, C, m, n), in [0, 1]
        A generator, a list, or any other iterable; one batch is taken at a time.
    tiles : FeatureTile or sequence of FeatureTile
    backend : {"auto", "cpu", "torch", "reference"}
        As in `match`.

    Yields
    ------
    Matches
        One for each batch. Images are numbered through all batches: concatenated, the results are those of `match` on all images
        at once.

    Raises
    ------
    InputError
        At the call for bad tiles, an unknown back end, or one tensor in place of batches; for bad images when their batch is
        reached, as "batch 3: …".
    """
    if hasattr(batches, "shape") or not isinstance(batches, Iterable):
        raise InputError(
            f"batches: expected an iterable of images, got {type(batches).__name__}; one tensor of images is matched by tmi.match"
        )
    return _stream(batches, _tiles(tiles, backend), backend)


def _stream(batches: Iterable[Any], tiles: list[FeatureTile], backend: str) -> Iterator[Matches]:
    seen = 0
    for number, batch in enumerate(batches):
        try:
            images = check_images(batch)
            matches = match(images, tiles, backend=backend)
        except InputError as error:
            raise InputError(f"batch {number}: {error}") from None
        yield replace(matches, image=matches.image + seen)
        seen += len(images)


def _tiles(tiles: FeatureTile | Sequence[FeatureTile], backend: str) -> list[FeatureTile]:
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is unknown{did_you_mean(backend, BACKENDS)}")
    tiles = [tiles] if isinstance(tiles, FeatureTile) else list(tiles)
    for index, tile in enumerate(tiles):
        if not isinstance(tile, FeatureTile):
            raise InputError(f"tiles[{index}]: expected FeatureTile, got {type(tile).__name__}")
    return tiles
