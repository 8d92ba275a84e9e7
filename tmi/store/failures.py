"""Why cells failed in their last attempt: shown to users, and read by a run that tries the cells again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .files import read_json, write_json
from .format import check_key, is_key


@dataclass(frozen=True)
class Failure:
    """Why a cell failed in its last attempt.

    Attributes
    ----------
    cell : str
    message : str
        One line.
    traceback : str
    mistake : bool
        Whether the settings are at fault: no data set or network can be made from them.
    run : str
        The run of that attempt.
    finished : str
        Its time, in UTC.
    """

    cell: str
    message: str
    traceback: str = ""
    mistake: bool = False
    run: str = ""
    finished: str = ""


class Failures:
    """The failures of a store, one small file each.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, key: str, failure: Failure) -> None:
        """Write why a cell failed, if the disk permits."""
        with suppress(OSError):
            write_json(self._path(key), asdict(failure))

    def read(self, key: str) -> Failure | None:
        """Return why a cell failed in its last attempt, or None if it did not fail or the file cannot be read."""
        try:
            failure = Failure(**read_json(self._path(key)))
        except (OSError, ValueError, TypeError):
            return None
        types = {"mistake": bool}
        return failure if all(type(value) is types.get(name, str) for name, value in asdict(failure).items()) else None

    def clear(self, key: str) -> None:
        """Remove a failure."""
        with suppress(OSError):
            self._path(key).unlink()

    def keys(self) -> set[str]:
        """Return the keys of all cells that failed in their last attempt."""
        return {path.stem for path in self.folder.glob("??/*.json") if is_key(path.stem)}

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.folder / key[:2] / f"{key}.json"
