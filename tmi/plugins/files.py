"""Plug-in files as modules: ``tmi.plugins.files.<path>`` is the file at that path, in every process that can import tmi.

Processes that a plug-in starts look its functions up by the name of their module. Under this name they find the file,
however they are started.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

__path__: list[str] = []  # makes this module a package, whose modules the finder below finds


def module_of(file: Path) -> str:
    """Return the name of the module of a plug-in file.

    Parameters
    ----------
    file : Path
        Absolute.

    Returns
    -------
    str
        The path, in which each character that is no ASCII letter or digit is written as ``_`` and its bytes in hexadecimal.
    """
    path = re.sub(rb"[^A-Za-z0-9]", lambda match: b"_%02x" % ord(match[0]), os.fsencode(file))
    return f"{__name__}.{path.decode()}"


def file_of(module: str) -> Path | None:
    """Return the file of a module that `module_of` named; None for another module."""
    package, _, path = module.rpartition(".")
    if package != __name__ or not re.fullmatch(r"(?:[A-Za-z0-9]|_[0-9a-f]{2})+", path):
        return None
    return Path(os.fsdecode(re.sub(rb"_(..)", lambda match: bytes.fromhex(match[1].decode()), path.encode())))


class _Loader(importlib.machinery.SourceFileLoader):
    def path_stats(self, path: object) -> NoReturn:
        """Refuse, so that no bytecode is cached: it would hide an edit within a second that keeps the file's size."""
        raise OSError

    def exec_module(self, module: ModuleType) -> None:
        folder = str(Path(self.path).parent)
        if folder not in sys.path:
            sys.path.append(folder)  # for the file's helpers; last, so that it hides no module
        super().exec_module(module)


class _Finder:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = file_of(name)
        if file is None or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(name, file, loader=_Loader(name, str(file)))


sys.meta_path.append(_Finder)
