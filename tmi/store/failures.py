"""Why cells failed when they were last tried: for people, and for a run that tries them again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .files import read_json, write_json
from .format import check_key, is_key


@dataclass(frozen=True)
class Failure:
    """Why a cell failed when it was last tried.

    Attributes
    ----------
    cell : str
    message : str
        One line.
    traceback : str
    mistake : bool
        Whether the data set or the network could not be made for what was asked for.
    run : str
        The run that tried it.
    finished : str
        When, in UTC.
    """

    cell: str
    message: str
    traceback: str = ""
    mistake: bool = False
    run: str = ""
    finished: str = ""


class Failures:
    """The failures of a store, a small file each.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, key: str, failure: Failure) -> None:
        """Remember why a cell failed; where that cannot be written, nothing is lost but the reason."""
        with suppress(OSError):
            write_json(self._path(key), asdict(failure))

    def read(self, key: str) -> Failure | None:
        """Return why a cell failed when it was last tried, or None if it did not."""
        try:
            failure = Failure(**read_json(self._path(key)))
        except (OSError, ValueError, TypeError):
            return None
        kinds = {"mistake": bool}
        return failure if all(type(value) is kinds.get(name, str) for name, value in asdict(failure).items()) else None

    def clear(self, key: str) -> None:
        """Forget a failure."""
        with suppress(OSError):
            self._path(key).unlink()

    def keys(self) -> set[str]:
        """The keys of all cells that failed when they were last tried."""
        return {path.stem for path in self.folder.glob("??/*.json") if is_key(path.stem)}

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.folder / key[:2] / f"{key}.json"
