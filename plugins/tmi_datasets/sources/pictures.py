"""Picture files: which a folder holds, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tmi.errors import DataFileError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What the name of a picture file ends with, in small letters."""


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files of a folder, by name; hidden files and files of other kinds are left out.

    Raises
    ------
    DataFileError
        If it is no folder, or there is none in it.
    """
    if not folder.is_dir():
        raise DataFileError(f"{folder}: is no folder")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise DataFileError(f"{folder}: holds no picture ({', '.join(SUFFIXES)})")
    return files


def read_picture(file: Path) -> Image:
    """Read a picture, turned upright where its file says how it was taken, with 8 bits a channel.

    Raises
    ------
    DataFileError
        If it cannot be read, is damaged or cut short, or its pixels are neither of 8 nor of 16 bits.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
    except Exception as error:  # Pillow raises many kinds of error for damaged files, all with one remedy
        cause = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DataFileError(f"{file}: cannot be read as a picture ({cause})") from None
    return _to_eight_bits(picture, file)


def _to_eight_bits(picture: Image, file: Path) -> Image:
    """Scale grey values of 16 bits to 8: Pillow's own conversion would cut them off at 255."""
    import numpy as np
    import PIL.Image

    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise DataFileError(f"{file}: its pixels are not whole numbers of 8 or 16 bits (mode {picture.mode}); save it as PNG")
    return PIL.Image.fromarray(np.round(values / 257).astype(np.uint8))
