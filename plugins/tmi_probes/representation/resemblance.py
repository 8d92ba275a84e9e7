"""How alike a picture and the known tiles are: correlation over the pixels of a tile's support, at the best place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

_ROUNDING = 1e-9  # of the mean square: a variance that is not larger is that of a constant


def best_match(
    picture: Array, read: NDArray[np.bool_], kernels: list[tuple[Array, NDArray[np.bool_]]]
) -> tuple[Array, tuple[int, int, int]]:
    """Return the greatest correlation of a picture with any tile at any place.

    The correlation is over the pixels of the tile's support that the unit reads. Only places count at which these are as many as
    at any place of that tile, at least 3, and at least half of the support or of what the unit reads.

    Parameters
    ----------
    picture : ndarray of float64, shape (C, m, n)
    read : ndarray of bool, shape (m, n)
        The pixels that the unit reads.
    kernels : list of (ndarray of float64, ndarray of bool)
        For each tile K versions (K, C, rows, cols), the tile itself first, and its support (C, rows, cols).

    Returns
    -------
    correlation : ndarray of float64, shape (K,)
        The greatest with that version of all tiles; NaN where none is defined, as for a tile of one value.
    where : (int, int, int)
        Tile, row and column of the first version's; −1 where it is not defined.
    """
    found = [correlations_at(picture, read, values, support) for values, support in kernels]
    greatest = np.stack([np.where(np.isnan(part), -np.inf, part).max((1, 2)) for part in found])  # (tiles, K)
    best = greatest.max(0)
    tile, row, col = -1, -1, -1
    if np.isfinite(best[0]):
        tile = int(greatest[:, 0].argmax())
        row, col = divmod(int(np.nanargmax(found[tile][0])), found[tile].shape[2])
    return np.where(np.isfinite(best), best, np.nan), (tile, row, col)


def correlations_at(picture: Array, read: NDArray[np.bool_], values: Array, support: NDArray[np.bool_]) -> Array:
    """Return the correlation with versions of a tile (K, C, rows, cols) at each place; NaN where it is not defined."""
    from scipy.signal import fftconvolve

    def sums(of_picture: Array, of_tile: Array) -> Array:
        result: Array = fftconvolve(of_picture[None], of_tile[..., ::-1, ::-1], "valid", axes=(2, 3)).sum(1)
        return result

    inside, covers = np.broadcast_to(read, picture.shape).astype(float), support[None].astype(float)
    shown, tile = picture * inside, np.where(support, values, 0.0)
    count = np.rint(sums(inside, covers))
    n = np.maximum(count, 1)
    x, y = sums(shown, covers), sums(inside, tile)
    xx, yy = sums(shown * picture, covers) - x * x / n, sums(inside, tile * tile) - y * y / n
    enough = max(3.0, min(inside.sum(), covers.sum()) / 2, count.max())
    defined = (count >= enough) & (xx > _ROUNDING * n) & (yy > _ROUNDING * n)
    both = np.sqrt(np.where(defined, xx * yy, np.nan))
    return np.clip((sums(shown, tile) - x * y / n) / both, -1, 1)


def same_spectrum(values: Array, support: NDArray[np.bool_], draws: int, rng: np.random.Generator) -> Array:
    """Return random tiles (draws, C, rows, cols) with the power spectrum of a tile, so as smooth as it; phases are noise's.

    What is off the support is set to the mean of the support: the edge of the support is no part of the tile's pattern.
    """
    inside = np.where(support, values - values[support].mean(), 0.0)
    noise = np.fft.fft2(rng.random((draws, *values.shape)))
    mixed: Array = np.fft.ifft2(np.abs(np.fft.fft2(inside)) * np.exp(1j * np.angle(noise))).real
    return mixed


def with_surrogates(task: tmi.TemplateTask, draws: int, rng: np.random.Generator) -> list[tuple[Array, NDArray[np.bool_]]]:
    """Return for each tile itself and surrogates of it (1 + draws, C, rows, cols), and its support; see `same_spectrum`."""
    tiles = [(np.asarray(tile.values, np.float64), np.asarray(tile.support)) for tile in task.tiles]
    return [(np.concatenate([values[None], same_spectrum(values, support, draws, rng)]), support) for values, support in tiles]
