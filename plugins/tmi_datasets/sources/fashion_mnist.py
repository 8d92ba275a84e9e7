"""Fashion-MNIST's training images: the full set where it is found, else the sample that ships with tmi.

Their content is checked by SHA-256, however they are obtained, so that a name stands for one set of images only.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DataFileError, did_you_mean
from tmi.plugins.data_files import DataFiles

from .idx import decode, encode, read_content
from .shipped import shipped

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The ten classes, in the order of their labels."""

CHECKSUMS = {
    "full": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    },
    "sample": {
        "sample-images-idx3-ubyte": "a7e53275975bcefa1ef1bcac502fe6f5e4fd01774d43792f4a839144acf524f3",
        "sample-labels-idx1-ubyte": "9f361592fa79786ffb0f262ede3ea19f20772797efa627328326451c74b21126",
    },
}
"""SHA-256 of each file's uncompressed content, images first: 60,000 images, and the first 100 of each class."""

VARIABLE = "TMI_FASHION_MNIST"
"""The environment variable that may name the folder of the full set."""

SYSTEM_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"), Path("/usr/local/share/datasets/fashion-mnist"))
"""Where a system package puts the full set; Debian's is ``dataset-fashion-mnist``."""

HOW_TO_GET_IT = (
    "for the full set install Debian's package dataset-fashion-mnist, or name the folder of its IDX files by source or "
    f'{VARIABLE}, or fetch it with source = "openml"'
)

_TRAINING = 60_000
_WORDS = ("auto", "sample", "full", "openml")


@dataclass(frozen=True)
class Source:
    """Which images will be read, known without reading them.

    Attributes
    ----------
    content : {"full", "sample"}
        What they are; the key of `CHECKSUMS`.
    folder : Path or None
        Where their IDX files lie; None if they are fetched from OpenML.
    """

    content: str
    folder: Path | None

    @property
    def title(self) -> str:
        """Its name in messages."""
        return "the full Fashion-MNIST" if self.content == "full" else "the shipped sample of Fashion-MNIST"

    @property
    def identity(self) -> dict[str, Any]:
        """Its content and checksums, as JSON: equal for equal images, in any folder."""
        return {"source": self.content, "sha256": dict(CHECKSUMS[self.content])}


def locate(source: str = "auto") -> Source:
    """Find the images that a source stands for; only the names of files are looked at.

    Parameters
    ----------
    source : str
        ``"auto"``: the full set where it is found, else the sample. ``"sample"``, ``"full"``, ``"openml"``, or a folder with the
        IDX files of the full set, gzipped or not.

    Returns
    -------
    Source

    Raises
    ------
    DataFileError
        If the full set is asked for and not found, or a named folder, by ``source`` or by the environment variable, does not
        hold it.
    """
    if source == "openml":
        return Source("full", None)
    if source == "sample":
        return Source("sample", shipped("fashion-mnist"))
    if source not in _WORDS:
        folder = Path(source).expanduser()
        if not source or not folder.is_dir():
            raise DataFileError(f"source {source!r}: is no folder{did_you_mean(source, _WORDS)}")
        return _full(folder, f"source {source!r}")
    named = os.environ.get(VARIABLE)
    if named:
        # A folder that was named must hold the files: no other images are used in their place.
        return _full(Path(named).expanduser(), f"{VARIABLE}={named}")
    for folder in SYSTEM_FOLDERS:
        if not _missing(folder):
            return Source("full", folder)
    if source == "auto":
        return Source("sample", shipped("fashion-mnist"))
    folders = ", ".join(map(str, SYSTEM_FOLDERS))
    raise DataFileError(
        f'source "full": the full Fashion-MNIST is not found ({VARIABLE} is not set; looked in {folders}); {HOW_TO_GET_IT}'
    )


def load(source: Source) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the images and labels of a source, and check them.

    Parameters
    ----------
    source : Source
        From `locate`.

    Returns
    -------
    images : ndarray of uint8, shape (N, 28, 28)
    labels : ndarray of uint8, shape (N,)

    Raises
    ------
    DataFileError
        If a file is unreadable, truncated or not the one that its checksum names, or OpenML cannot be reached.
    """
    if source.folder is None:
        return _from_openml()
    images, labels = (_read(_file(source.folder, name), checksum) for name, checksum in CHECKSUMS[source.content].items())
    return images, labels


def _full(folder: Path, named_by: str) -> Source:
    missing = _missing(folder)
    if missing:
        raise DataFileError(f"{named_by}: {folder} holds no {' and no '.join(missing)} (.gz or not); {HOW_TO_GET_IT}")
    return Source("full", folder)


def _missing(folder: Path) -> list[str]:
    return [name for name in CHECKSUMS["full"] if not _file(folder, name).is_file()]


def _file(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _read(file: Path, checksum: str) -> NDArray[np.uint8]:
    content = read_content(file)
    array = decode(content, file)  # before the checksum: a truncated file is reported as truncated, not as another file
    _check(content, checksum, str(file))
    return array


def _check(content: bytes, checksum: str, name: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != checksum:
        raise DataFileError(
            f"{name}: is not the file of Fashion-MNIST (SHA-256 of its uncompressed content {digest[:12]}…, "
            f"expected {checksum[:12]}…)"
        )


def _from_openml() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    from sklearn.datasets import fetch_openml

    names, checksums = zip(*CHECKSUMS["full"].items(), strict=True)
    try:
        # The training images come first, then the test images; kept in scikit-learn's data folder for the next time
        pixels, labels = fetch_openml("Fashion-MNIST", version=1, as_frame=False, return_X_y=True)
        images = np.asarray(pixels)[:_TRAINING].astype(np.uint8).reshape(-1, 28, 28)
        classes = np.asarray(labels)[:_TRAINING].astype(np.uint8)
    except Exception as error:  # network, server and parser raise many kinds of error, all with one remedy
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataFileError(f"Fashion-MNIST could not be fetched from OpenML ({cause}); name a folder of IDX files") from error
    for array, name, checksum in zip((images, classes), names, checksums, strict=True):
        _check(encode(array), checksum, f"OpenML's {name}")
    return images, classes


def find_full() -> Path | None:
    """Return the folder of the full set's IDX files, or None."""
    try:
        return locate("full").folder
    except DataFileError:
        return None


def fetch_full() -> str:
    """Download the full set from OpenML, check it, and say how to use it."""
    from sklearn.datasets import get_data_home

    load(locate("openml"))
    return f'checked, and kept in {get_data_home()}; choose it by source = "openml"'


FILES = (
    DataFiles("the sample that ships with tmi, 1,000 images", lambda: locate("sample").folder, lambda: load(locate("sample"))),
    DataFiles("the full set, 60,000 images", find_full, lambda: load(locate("full")), fetch_full),
)
"""What ``tmi data`` lists, fetches and verifies."""
