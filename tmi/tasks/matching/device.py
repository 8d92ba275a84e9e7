"""The match in plain torch, for images on a device.

There are two passes. The first is in float32, tile by tile over scattered support pixels: all windows together until few are
left, then those alone. The second sums the remaining windows of all tiles in float64, pixel after pixel in the reference's order,
so that windows and slack are the reference's to the last bit: the order of torch's own sums differs between devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tmi.tasks.tiles import FeatureTile

from .pixels import Pixels, support_pixels

STEP = 8  # support pixels between two counts of the windows that are left
FEW = 1 / 32  # once this share of the windows is left, they are gathered
ENTRIES = 1 << 24  # numbers in a table at once: 64 MiB of float32


def match_tensors(images: torch.Tensor, tiles: Sequence[FeatureTile]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the windows with t < ε as rows (image, tile, row, col), and their slack ε − t, on the images' device.

    Parameters
    ----------
    images : Tensor of float32 or float64, shape (N, C, m, n)
        At least one.
    tiles : sequence of FeatureTile
        At least one, none larger than the images.

    Returns
    -------
    places : Tensor of int64, shape (M, 4)
        In no particular order.
    slack : Tensor of float64, shape (M,)
    """
    images = images.detach()
    _, channels, m, n = images.shape
    pixels = support_pixels(tiles, (channels, m, n), str(images.dtype).removeprefix("torch."))
    together = max(1, ENTRIES // (channels * m * n))
    places, slacks = [], []
    for start in range(0, len(images), together):
        part = images[start : start + together].contiguous()
        survivors = torch.cat([_survivors(part, tiles[i], i, pixels) for i in range(len(tiles))])
        slack = _exact(part, survivors, pixels)
        keep = slack > 0
        survivors[:, 0] += start
        places.append(survivors[keep])
        slacks.append(slack[keep])
    return torch.cat(places), torch.cat(slacks)


def _survivors(images: torch.Tensor, tile: FeatureTile, index: int, pixels: Pixels) -> torch.Tensor:
    """Return the windows, rows (image, tile, row, col), whose float32 sum stays below the tile's bound."""
    _, channels, m, n = images.shape
    rows, cols = m - tile.shape[1] + 1, n - tile.shape[2] + 1
    order = pixels.scattered[pixels.start[index] : pixels.start[index + 1]]
    offset, value = pixels.offset[order], pixels.value[order]
    bound = float(pixels.bound[index])
    total = torch.zeros((len(images), rows, cols), device=images.device)
    pixel = 0
    while True:
        for at, t in zip(offset[pixel : pixel + STEP].tolist(), value[pixel : pixel + STEP].tolist(), strict=True):
            plane, corner = divmod(at, m * n)
            row, col = divmod(corner, n)
            total += (images[:, plane, row : row + rows, col : col + cols].float() - t).abs_()
        pixel += STEP
        below = total < bound
        if pixel >= len(order) or int(below.sum()) <= FEW * below.numel():
            break
    left = below.nonzero()
    sums = total[below]
    where, what = (torch.from_numpy(part).to(images.device) for part in (offset, value))
    flat = images.reshape(-1)
    base = left[:, 0] * (channels * m * n) + left[:, 1] * n + left[:, 2]
    step = STEP
    while pixel < len(order) and len(left):
        # Twice as many pixels each time, for fewer windows each time.
        chunk = slice(pixel, pixel + step)
        most = max(1, ENTRIES // step)
        for first in range(0, len(left), most):
            piece = slice(first, first + most)
            x = flat[base[piece, None] + where[chunk]].float()
            sums[piece] += (x - what[chunk].float()).abs_().sum(1)
        keep = sums < bound
        left, base, sums = left[keep], base[keep], sums[keep]
        pixel, step = pixel + step, 2 * step
    return torch.stack([left[:, 0], torch.full_like(left[:, 0], index), left[:, 1], left[:, 2]], 1)


def _exact(images: torch.Tensor, places: torch.Tensor, pixels: Pixels) -> torch.Tensor:
    """Return ε − t of each place, summed in float64, row by row."""
    _, channels, m, n = images.shape
    start, offset, value, epsilon = (
        torch.from_numpy(part).to(images.device) for part in (pixels.start, pixels.offset, pixels.value, pixels.epsilon)
    )
    flat = images.reshape(-1)
    slacks = []
    most = int((pixels.start[1:] - pixels.start[:-1]).max())
    for part in places.split(max(1, ENTRIES // most)):  # type: ignore[no-untyped-call]
        image, tile, row, col = part.T
        base = image * (channels * m * n) + row * n + col
        total = torch.zeros(len(part), dtype=torch.float64, device=images.device)
        first, count = start[tile], start[tile + 1] - start[tile]
        longest = int(count.max()) if len(part) else 0
        for step in range(longest):
            inside = step < count
            p = torch.where(inside, first + step, first)
            # Beyond its support a tile adds 0, which rounds nothing.
            total += torch.where(inside, (flat[base + offset[p]].double() - value[p].double()).abs(), 0.0)
        slacks.append(epsilon[tile] - total)
    return torch.cat(slacks)
