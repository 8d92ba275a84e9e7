"""Picture files: which a folder holds, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tmi.errors import DataFileError
from tmi.tasks.pictures import open_picture, wide_greys

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
        If it cannot be read, is damaged or cut short, has several frames, or its pixels are neither of 8 nor of 16 bits.
    """
    picture = open_picture(file)
    if not picture.mode.startswith(("I", "F")):
        return picture
    import numpy as np
    import PIL.Image

    # Pillow's own conversion would cut grey values of 16 bits off at 255.
    return PIL.Image.fromarray(np.round(wide_greys(picture, file) / 257).astype(np.uint8))
