"""Thumbnails: images, tiles and weights as small PNG pictures inside HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = 45_000
"""The largest PNG; a picture that takes more is made coarser."""

_BLUE = (0, 114, 178)  # of tmi.runtime.plotting
_ORANGE = (213, 94, 0)


def rgb(values: Any, *, ink: bool = False) -> NDArray[np.uint8]:
    """Return an image in [0, 1], shape (C, m, n), as colours (m, n, 3); other than 1 or 3 channels as their mean.

    Parameters
    ----------
    values : array
    ink : bool
        Whether 1 is black and 0 white; colour images are drawn as they are.
    """
    array = np.asarray(values, np.float32)
    if array.shape[0] != 3:
        array = array.mean(0, keepdims=True)
        array = np.repeat(1 - array if ink else array, 3, 0)
    return np.round(255 * np.clip(np.nan_to_num(array), 0, 1)).astype(np.uint8).transpose(1, 2, 0)


def coarser(values: NDArray[Any], longest: int) -> NDArray[Any]:
    """Return every second, third, … pixel along the last two axes, so that no side is longer than ``longest``."""
    step = max(1, -(-max(values.shape[-2:]) // longest))
    return values[..., ::step, ::step]


def enlarged(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return an image with every pixel as a square of ``scale`` pixels; along the first two axes."""
    return pixels.repeat(scale, 0).repeat(scale, 1)


def tile_pixels(tile: Any, side: int, *, ink: bool = False) -> NDArray[np.uint8]:
    """Return a tile as colours (m, n, 4), about ``side`` pixels long.

    Pixels outside the support are transparent with thin grey lines, and a blue line surrounds the support.
    """
    values, support = coarser(tile.values, side), coarser(tile.support.any(0), side)
    scale = max(1, side // max(support.shape))
    pixels, inside = enlarged(rgb(values, ink=ink), scale), enlarged(support, scale)
    result = np.dstack([pixels, np.full(inside.shape, 255, np.uint8)])
    row, col = np.indices(inside.shape)
    result[~inside] = 0
    result[~inside & ((row + col) % 6 == 0)] = (128, 128, 128, 255)
    result[_grown(inside) & ~inside] = (*_BLUE, 255)
    return result


def image_pixels(image: Any, mask: Any = None, side: int = 84, *, ink: bool = False) -> NDArray[np.uint8]:
    """Return an image as colours, about ``side`` pixels long, with a blue line on a white one around the pixels of a mask."""
    values = coarser(np.asarray(image), side)
    scale = max(1, side // max(values.shape[-2:]))
    pixels = enlarged(rgb(values, ink=ink), scale)
    if mask is not None:
        inside = enlarged(coarser(np.asarray(mask, bool), side), scale)
        if inside.any():
            near = _grown(inside)
            pixels[_grown(near) & ~near] = 255
            pixels[near & ~inside] = _BLUE
    return pixels


def weight_pixels(weights: NDArray[Any], largest: float, side: int) -> NDArray[np.uint8]:
    """Return weights (C, k, l) as colours: blue below 0, white at 0, orange above; the mean over channels."""
    share = np.clip(coarser(weights.mean(0), side) / (largest or 1), -1, 1)[..., None]
    colour = 255 + np.abs(share) * (np.where(share > 0, _ORANGE, _BLUE) - np.array(255))
    return enlarged(np.round(colour).astype(np.uint8), max(1, side // max(share.shape[:2])))


def row_of(cells: Sequence[NDArray[np.uint8]], per_row: int = 8, gap: int = 4) -> NDArray[np.uint8]:
    """Return pictures (m, n, 3) or (m, n, 4) side by side, in as many rows as needed, transparent between them; (m, n, 4)."""
    height, width = (max(cell.shape[axis] for cell in cells) + gap for axis in (0, 1))
    rows = -(-len(cells) // per_row)
    page = np.zeros((rows * height - gap, min(per_row, len(cells)) * width - gap, 4), np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // per_row * height, number % per_row * width
        place = page[top : top + cell.shape[0], left : left + cell.shape[1]]
        place[..., 3] = 255
        place[..., : cell.shape[2]] = cell
    return page


def picture(pixels: NDArray[np.uint8], alt: str, limit: int = BYTES) -> str:
    """Return a picture as an ``img`` with its bytes inside, as large as it is in pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (m, n, 3) or (m, n, 4)
    alt : str
        What it shows.
    limit : int
        Bytes of the PNG; every second pixel is left out until it takes no more.
    """
    height, width = pixels.shape[:2]
    data = png(pixels)
    while len(data) > limit and max(pixels.shape[:2]) > 1:
        pixels = pixels[::2, ::2]
        data = png(pixels)
    style = f"width:{width}px;max-width:100%;height:auto;image-rendering:pixelated;margin:0"
    source = base64.b64encode(data).decode()
    return (
        f'<img alt="{escape(alt[:300], quote=True)}" width="{width}" height="{height}" style="{style}" '
        f'src="data:image/png;base64,{source}">'
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG of pixels (m, n, 3) or (m, n, 4)."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, "PNG")
    return data.getvalue()


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with the pixels beside, above and below its own, and at their corners."""
    wide = np.pad(mask, 1)
    parts = [wide[i : i + mask.shape[0], j : j + mask.shape[1]] for i in range(3) for j in range(3)]
    grown: NDArray[np.bool_] = np.any(parts, axis=0)
    return grown
