"""What each probe or method can do with a network: it is run on a few images, and what came of it is said with a reason."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from tmi.errors import InputError, TmiError
from tmi.plugins.component import Component
from tmi.plugins.registry import Registry, installed
from tmi.runtime.time_limit import TimedOut, time_limit

from .scoring import Inner, scoring
from .toys import few
from .trial import SECONDS

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.probing.result import ProbeResult
    from tmi.tasks.dataset import Dataset

Status = Literal["runs", "not applicable", "refused", "not scored", "fails", "takes long"]


@dataclass(frozen=True)
class Outcome:
    """What came of a probe or a method on a network.

    Attributes
    ----------
    name : str
    status : {"runs", "not applicable", "refused", "not scored", "fails", "takes long"}
        It gives numbers; it has nothing to measure; it refuses its settings or the data; a method's maps have no score, as where
        they are NaN; it raises another error; it was stopped.
    reason : str
        Why; for a probe that runs its notes.
    seconds : float
    """

    name: str
    status: Status
    reason: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}: {self.status}{f': {self.reason}' if self.reason else ''}"


def applicable(
    network: Network,
    data: Dataset,
    names: Iterable[str] | None = None,
    *,
    kind: Literal["probe", "method"] = "probe",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    of_each: int = 4,
    seconds: float = SECONDS,
    registry: Registry | None = None,
) -> list[Outcome]:
    """Try probes or attribution methods on a network and a few images, and say which of them run, and why the others do not.

    Parameters
    ----------
    network : Network
    data : Dataset
    names : iterable of str, optional
        Registered names; by default all of the kind.
    kind : {"probe", "method"}
    settings : mapping of str to dict, optional
        Settings other than the defaults, by name.
    of_each : int
        How many images of each class are taken, of both parts.
    seconds : float
        After which a probe is stopped.
    registry : Registry, optional
        Where the probes are found; by default among all that are installed.

    Returns
    -------
    list of Outcome
        One a name. Each can be printed.

    Raises
    ------
    UnknownNameError
        If there is no such name.
    """
    registry = registry or installed()
    components = [registry.find(kind, name) for name in (registry.names(kind) if names is None else names)]
    small, given = few(data, of_each), settings or {}
    call = _scored if kind == "method" else _probed
    return [
        attempt(component.name, partial(call, registry, component, network, small, given.get(component.name, {})), seconds)[0]
        for component in components
    ]


def _probed(
    registry: Registry, component: Component, network: Network, data: Dataset, settings: Mapping[str, Any]
) -> ProbeResult:
    return registry.probe(component, network, data, **settings)


def _scored(
    registry: Registry, component: Component, network: Network, data: Dataset, settings: Mapping[str, Any]
) -> ProbeResult:
    """Score a method; the scoring probe refuses one that is not sound for the network's module, and does not call it."""
    calls: list[Inner] = []
    result = scoring(component, registry, network, data, settings, calls)()
    if not calls:
        raise InputError("; ".join(note.removeprefix("refused: ") for note in result.notes))
    return result


def attempt(name: str, call: Callable[[], Any], seconds: float = SECONDS) -> tuple[Outcome, Any]:
    """Call something without arguments, and return what came of it and what it returned, None where it failed.

    Parameters
    ----------
    name : str
        Of the outcome.
    call : callable
        ``() -> object``. A `ProbeResult` may be not applicable.
    seconds : float
        After which it is stopped.
    """
    start = time.perf_counter()

    def outcome(status: Status, reason: str = "") -> Outcome:
        return Outcome(name, status, " ".join(reason.split()), time.perf_counter() - start)

    try:
        with warnings.catch_warnings(), time_limit(seconds):
            warnings.simplefilter("ignore")
            product = call()
    except TimedOut:
        return outcome("takes long", f"stopped after {seconds:g} s on a few images"), None
    except TmiError as error:
        return outcome("refused", str(error)), None
    except (Exception, SystemExit) as error:
        return outcome("fails", f"{type(error).__name__}: {error}".removesuffix(": ")), None
    applies = getattr(product, "applicable", True)
    return outcome("runs" if applies else "not applicable", "; ".join(getattr(product, "notes", ()))), product
