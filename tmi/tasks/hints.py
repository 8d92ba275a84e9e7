"""Hints in messages about images as other libraries keep them: values from 0 to 255, channels last, an opacity channel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

_CHANNELS = (1, 3, 4)  # grey, colour, colour with opacity


def scale_hint(low: float, high: float) -> str:
    """Return the remedy for values between these, where they look like bytes; else an empty text."""
    return "; divide by 255" if low >= 0 and 1 < high <= 255 else ""


def order_hint(shape: Sequence[int], image_shape: Sequence[int]) -> str:
    """Return the remedy for images (N, m, n, C) where (N, C, m, n) is expected; else an empty text."""
    rows, cols, channels = shape[1:]
    if (rows, cols) != tuple(image_shape[1:]) or channels not in (image_shape[0], 4):
        return ""
    opacity = "[..., :3]" if (channels, image_shape[0]) == (4, 3) else ""
    if channels != image_shape[0] and not opacity:
        return ""
    return f"; its channels come last: torch.as_tensor(images){opacity}.permute(0, 3, 1, 2)"


def warn_of_order(shape: Sequence[int], stacklevel: int) -> None:
    """Warn where the values of a tile look like a picture with its channels last: (k, l, C)."""
    if len(shape) == 3 and shape[2] in _CHANNELS and min(shape[:2]) > 4:
        rows, cols, channels = shape
        colours = (
            "values[..., :3].transpose(2, 0, 1), with its opacity as support" if channels == 4 else "values.transpose(2, 0, 1)"
        )
        warnings.warn(
            f"tile values of shape {tuple(shape)} are read as {rows} channels of {cols}×{channels} pixels; give a picture whose "
            f"channels are last as {colours}, or read its file by FeatureTile.from_image",
            stacklevel=stacklevel + 1,
        )
