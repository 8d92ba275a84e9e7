"""Labelled pictures: a folder a class, a CSV, an NPZ, or a folder of IDX files. None is decoded before it is asked for."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DataFileError
from tmi.tasks.pictures import Picture, read_picture

from .idx import decode, read_content
from .pictures import SUFFIXES

_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_IMAGES, _LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"
EXPECTED = "a folder for each class with pictures, a CSV with columns file and class, an NPZ with images and labels, or IDX files"


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """N pictures and their classes.

    Attributes
    ----------
    format : {"folders", "csv", "npz", "idx"}
    class_names : tuple of str
        Sorted as text, or by value where all are numbers.
    labels : ndarray of int64, shape (N,)
        Numbers of classes.
    names : sequence of str
        What messages call each picture: its file, or its number in an array.
    read : callable
        Returns picture i.
    held_out : ndarray of bool, shape (N,), or None
        Which are for tests, where the files say so: those of IDX files named ``t10k`` or ``test``.
    """

    format: str
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    names: list[str]
    read: Callable[[int], Picture]
    held_out: NDArray[np.bool_] | None = None


def find(path: Path) -> LabelledPictures:
    """Return the labelled pictures at a path; see `EXPECTED`.

    Raises
    ------
    DataFileError
        If it is none of these, a file is missing or may not be read, or there are fewer than two classes.
    """
    try:
        if path.is_dir():
            pictures = _idx(path) if any(_IMAGES in file.name for file in path.iterdir()) else _folders(path)
        elif path.suffix.lower() == ".csv":
            pictures = _csv(path)
        elif path.suffix.lower() == ".npz":
            pictures = _npz(path)
        else:
            raise DataFileError(f"{path}: expected {EXPECTED}")
    except OSError as error:
        raise DataFileError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    if "" in pictures.class_names:
        raise DataFileError(f"{path}: the name of a class is empty")
    if len(pictures.class_names) < 2:
        raise DataFileError(
            f"{path}: all its pictures are of class {pictures.class_names[0]!r}; a task needs at least two classes"
        )
    return pictures


def files_of_csv(path: Path) -> list[tuple[Path, str]]:
    """Return the files that a CSV names, relative to its folder, and their classes.

    Raises
    ------
    DataFileError
        If it has not one column ``file`` and one ``class``, a line lacks one or has too many fields, or a file is missing.
    """
    entries = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, skipinitialspace=True)
            rows.fieldnames = columns = [name.strip() for name in rows.fieldnames or []]
            for name in ("file", "class"):
                if (count := columns.count(name)) != 1:
                    has = f"{count} columns" if count else "no column"
                    raise DataFileError(f"{path}: has {has} {name}; its first line is {','.join(columns)!r}")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if surplus := row.pop(None, []):
                    count = len(columns) + len(surplus)
                    raise DataFileError(f"{where}: has {count} fields, more than the {len(columns)} columns of the first line")
                file, name = ((row[column] or "").strip() for column in ("file", "class"))
                if not file or not name:
                    raise DataFileError(f"{where}: names no {'class' if file else 'file'}")
                if not (path.parent / file).is_file():
                    raise DataFileError(f"{where}: there is no file {path.parent / file}")
                entries.append((path.parent / file, name))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFileError(f"{path}: cannot be read as CSV ({error})") from None
    return entries


def _folders(path: Path) -> LabelledPictures:
    members = sorted(member for member in path.iterdir() if not member.name.startswith((".", "_")))
    folders = [member for member in members if member.is_dir()]
    stray = [member for member in members if member.suffix.lower() in SUFFIXES and member.is_file()]
    for member in members:
        if not member.exists():
            raise DataFileError(f"{member}: is a link to nothing; repair it or remove it")
    if folders and stray:
        raise DataFileError(f"{stray[0]}: is a picture outside of the folders of the classes; move it into one")
    if not folders:
        raise DataFileError(f"{path}: {'is empty' if not members else 'holds no folder'}; expected {EXPECTED}")
    return _of_files("folders", [(file, folder.name) for folder in folders for file in _pictures_of_class(folder)])


def _pictures_of_class(folder: Path) -> list[Path]:
    files = sorted(
        file for file in folder.iterdir() if not file.name.startswith(".") and file.name.lower() not in _LEFT_BY_SYSTEMS
    )
    for file in files:
        if not file.is_file() or file.suffix.lower() not in SUFFIXES:
            raise DataFileError(
                f"{file}: is {'a folder' if file.is_dir() else 'no picture'}, in the folder of a class; move it elsewhere"
            )
    if not files:
        raise DataFileError(f"{folder}: holds no picture ({', '.join(SUFFIXES)}); each folder is a class and needs at least one")
    return files


def _csv(path: Path) -> LabelledPictures:
    entries = files_of_csv(path)
    if not entries:
        raise DataFileError(f"{path}: names no picture")
    file, count = Counter(file.resolve() for file, _ in entries).most_common(1)[0]
    if count > 1:
        raise DataFileError(f"{path}: names {file} more than once")
    return _of_files("csv", entries)


def _of_files(form: str, entries: list[tuple[Path, str]]) -> LabelledPictures:
    files = [file for file, _ in entries]
    names, labels = _numbered([name for _, name in entries])
    return LabelledPictures(form, names, labels, [str(file) for file in files], lambda i: read_picture(files[i]))


def _npz(path: Path) -> LabelledPictures:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            lacking = [name for name in ("images", "labels") if name not in arrays]
            if lacking:
                raise DataFileError(f"{path}: has no array {' and no array '.join(lacking)}; it has {', '.join(arrays)}")
            images, labels = arrays["images"], arrays["labels"]
    except DataFileError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of error, all with one remedy
        raise DataFileError(f"{path}: cannot be read as NPZ ({' '.join(str(error).split()) or type(error).__name__})") from None
    return _of_arrays("npz", path, images, labels)


def _idx(path: Path) -> LabelledPictures:
    parts = []
    for file in sorted(file for file in path.iterdir() if _IMAGES in file.name):
        if file.suffix == ".gz" and file.with_suffix("").is_file():
            continue  # the same, compressed
        of_labels = file.with_name(file.name.replace(_IMAGES, _LABELS).removesuffix(".gz"))
        of_labels = of_labels if of_labels.is_file() else of_labels.with_name(f"{of_labels.name}.gz")
        if not of_labels.is_file():
            raise DataFileError(f"{file}: there is no file {of_labels.stem} (.gz or not) with its labels")
        images, labels = (decode(read_content(part), part) for part in (file, of_labels))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DataFileError(
                f"{file}: has shape {images.shape}, and {of_labels.name} {labels.shape}; expected (N, m, n) and (N,)"
            )
        parts.append((images, labels, bool({"t10k", "test"} & set(file.name.split("-")))))
    if len({images.shape[1:] for images, _, _ in parts}) > 1:
        raise DataFileError(f"{path}: its IDX files hold images of different sizes")
    images, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    held_out = np.concatenate([np.full(len(part[1]), part[2]) for part in parts])
    return replace(_of_arrays("idx", path, images, labels), held_out=held_out if 0 < held_out.mean() < 1 else None)


def _of_arrays(form: str, path: Path, images: NDArray[Any], labels: NDArray[Any]) -> LabelledPictures:
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or channels not in (1, 3, 4) or 0 in images.shape:
        raise DataFileError(f"{path}: images: expected shape (N, m, n), or (N, m, n, C) with C = 1, 3 or 4, got {images.shape}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iuU":
        raise DataFileError(
            f"{path}: labels: expected whole numbers or text of shape {images.shape[:1]}, got {labels.dtype} {labels.shape}"
        )
    full = {"u1": 255, "u2": 65535, "b1": 1, "f4": 1, "f8": 1, "f2": 1}.get(images.dtype.str[1:])
    if full is None:
        raise DataFileError(f"{path}: images: expected uint8, uint16, bool, or float in [0, 1], got {images.dtype}")
    if images.dtype.kind == "f" and not ((images >= 0) & (images <= 1)).all():  # NaN too
        raise DataFileError(f"{path}: images: values are NaN or outside [0, 1]; scale them, or give uint8")

    def read(i: int) -> Picture:
        planes = np.atleast_3d(images[i]).transpose(2, 0, 1).astype(np.float64) / full
        return Picture(planes[:3], planes[3]) if channels == 4 else Picture(planes)

    class_names, numbers = _numbered(labels.tolist())
    return LabelledPictures(form, class_names, numbers, [f"{path}, image {i}" for i in range(len(images))], read)


def _numbered(classes: Iterable[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the classes in order, and the number of each entry's class."""
    entries = [str(name) for name in classes]
    names = sorted(set(entries))
    if all(map(_NUMBER.fullmatch, names)):
        names.sort(key=Decimal)
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([numbers[name] for name in entries], np.int64)
