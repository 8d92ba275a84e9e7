"""Pictures from files: upright, scaled to [0, 1], with their opacity. Pillow does the reading and resizing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DataFileError

if TYPE_CHECKING:
    from PIL.Image import Image

_LEVELS = 65535
"""Resized values are rounded to multiples of 1/65535, so that they are equal on every machine."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in [0, 1].

    Attributes
    ----------
    values : ndarray of float64, shape (C, m, n)
        Grey (C = 1) or red, green and blue (C = 3).
    alpha : ndarray of float64, shape (m, n), or None
        Opacity, 0 to 1; None for a picture without.
    """

    values: NDArray[np.float64]
    alpha: NDArray[np.float64] | None = None

    @property
    def support(self) -> NDArray[np.bool_]:
        """The pixels of at least half opacity, bool (m, n); all where the picture has no alpha."""
        return np.ones(self.values.shape[1:], bool) if self.alpha is None else self.alpha >= 0.5

    def cropped(self) -> Picture:
        """Return the picture without the rows and columns at its borders that hold no pixel of the support."""
        support = self.support
        if not support.any():
            return self
        rows, cols = (np.flatnonzero(support.any(axis)) for axis in (1, 0))
        part = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
        return Picture(self.values[:, *part], None if self.alpha is None else self.alpha[part])

    def resized(self, rows: int, cols: int, box: tuple[float, float, float, float] | None = None) -> Picture:
        """Return the picture with other numbers of rows and columns, by Pillow's Lanczos filter.

        Colours are weighted by their opacity, so that those of transparent pixels play no part.

        Parameters
        ----------
        rows, cols : int
        box : (float, float, float, float), optional
            Left, upper, right and lower border of the part that is taken, in pixels; by default all.
        """
        from PIL import Image

        def plane(values: NDArray[np.float64]) -> NDArray[np.float64]:
            image = Image.fromarray(values.astype(np.float32)).resize((cols, rows), Image.Resampling.LANCZOS, box=box)
            return np.asarray(image, np.float64)

        if self.alpha is None:
            return Picture(_rounded(np.stack([plane(channel) for channel in self.values])))
        alpha = _rounded(plane(self.alpha))
        weighted = np.stack([plane(channel * self.alpha) for channel in self.values])
        return Picture(_rounded(weighted / np.where(alpha > 0, alpha, 1)), alpha)

    def scaled(self, size: int) -> Picture:
        """Return the picture scaled so that its longest side has ``size`` pixels and the other at least one."""
        high, wide = self.values.shape[1:]
        rows, cols = (max(1, round(side * size / max(high, wide))) for side in (high, wide))
        return self if (rows, cols) == (high, wide) else self.resized(rows, cols)


def read_picture(file: str | Path) -> Picture:
    """Read a picture file: PNG, JPEG, TIFF and what else Pillow reads, upright, in [0, 1].

    Parameters
    ----------
    file : str or Path

    Returns
    -------
    Picture
        Grey where the file's pixels are grey values, else in colour. Grey values of 16 bits keep their precision; Pillow reads
        colours with 8 bits. A palette becomes colours, and a transparent colour becomes alpha.

    Raises
    ------
    DataFileError
        If it cannot be read, is damaged or cut short, has several frames, or its pixels are neither of 8 nor of 16 bits.
    """
    picture = open_picture(file)
    if picture.mode.startswith(("I", "F")):
        return Picture(wide_greys(picture, file)[None] / _LEVELS)
    grey = picture.mode in ("1", "L", "LA", "La")
    pixels = np.asarray(picture.convert(("L" if grey else "RGB") + "A" * picture.has_transparency_data), np.float64) / 255
    channels = np.atleast_3d(pixels).transpose(2, 0, 1)
    if not picture.has_transparency_data:
        return Picture(channels)
    return Picture(channels[:-1], channels[-1])


def open_picture(file: str | Path) -> Image:
    """Read a picture file as Pillow's image, turned upright where the file says how it was taken.

    Raises
    ------
    DataFileError
        If it cannot be read, is damaged or cut short, has several frames, or is larger than Pillow's limit.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning), Image.open(file) as opened:
            frames = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)  # MPO: a photograph and its previews
            picture: Any = ImageOps.exif_transpose(opened) if frames == 1 else None
            if picture is not None and opened.format == "PNG" and picture.mode == "I":
                picture = picture.convert("I;16")  # older versions of Pillow read PNG's 16 bits into 32
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataFileError(f"{file}: has more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit; reduce it first") from None
    except Exception as error:  # Pillow raises many kinds of error for damaged files, all with one remedy
        cause = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DataFileError(f"{file}: cannot be read as a picture ({cause})") from None
    if picture is None:
        raise DataFileError(f"{file}: has {frames} frames or pages; save the one that is meant as a picture of its own")
    return picture  # type: ignore[no-any-return]


def wide_greys(picture: Image, file: str | Path) -> NDArray[np.float64]:
    """Return the pixels of a picture with whole grey values of more than 8 bits, 0 to 65535, shape (m, n).

    Raises
    ------
    DataFileError
        If they have 32 bits, so that white is not known, or one of them stands for transparent.
    """
    if picture.mode in ("I", "F"):
        raise DataFileError(f"{file}: its pixels are not whole numbers of 8 or 16 bits (mode {picture.mode}); save it as PNG")
    if picture.has_transparency_data:
        raise DataFileError(f"{file}: has a transparent grey value among 16 bits; save it as RGBA with 8 bits")
    return np.asarray(picture, np.float64)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.rint(values.clip(0, 1) * _LEVELS) / _LEVELS
    return rounded
