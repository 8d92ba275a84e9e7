"""Why what a plug-in made is not kept: its key does not cover everything that it depends on.

A function read a file that nothing declares, its code cannot be fingerprinted, or a file that a setting names changed during the
run. The product is used, and so is everything that depends on it, but nothing of it is written to the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tmi.errors import MissingPathError
from tmi.plugins.component import Component
from tmi.plugins.registry import Registry
from tmi.plugins.undeclared import owners_of, undeclared
from tmi.runtime import reads
from tmi.runtime.paths import shown
from tmi.stages import Stage
from tmi.suites.content import content_of
from tmi.suites.keys import paths_of
from tmi.suites.plan import Planned
from tmi.suites.suite import Choice


class _Call:
    """A choice with the components that its function calls, and the paths in its settings."""

    def __init__(self, registry: Registry, choice: Choice) -> None:
        self.choice = choice  # a reference is kept, so that no other object gets its id
        used = [choice.component, *(used.component for used in registry.references(choice.component, choice.params))]
        self.components, self.owners = owners_of(used)
        self.paths = paths_of(registry, choice)


class Calls:
    """Watches the calls of plug-ins, and finds why their products are not kept.

    Parameters
    ----------
    store : Path
        The folder of the run's store, which does not count as read.
    """

    def __init__(self, store: Path) -> None:
        self._ignored = [str(store.absolute())]
        self._calls: dict[tuple[int, Path | None], _Call] = {}

    @contextmanager
    def watched(self, planned: Planned, stage: Stage) -> Iterator[dict[str, str]]:
        """Watch the call of a plug-in's function.

        Yields
        ------
        dict of str to str
            Filled at the end: for each component, or path, the sentence that says why the product is not kept; empty if it is.
        """
        calls = [self._call(planned.registry, choice) for choice in planned.cell.choices[: len(stage.so_far)]]
        call, reasons = calls[-1], dict[str, str]()
        with reads.watching(call.owners, [path for each in calls for path in each.paths], self._ignored) as watch:
            yield reasons
        if planned.keys[stage] is None:
            reasons |= {str(used): _without_fingerprint(used) for used in call.components.values() if not used.fingerprint()}
        reasons |= undeclared(watch, call.components)
        for path in {*call.paths, *watch.declared_reads}:
            if planned.contents.get(path, "") not in ("", _content_or_none(path)):
                text = f"{shown(path)} changed during the run, so what was computed from it is not kept"
                reasons[path] = f"{call.choice.kind} {call.choice}: {text}"

    def _call(self, registry: Registry, choice: Choice) -> _Call:
        wanted = id(choice), registry.folder
        if wanted not in self._calls:
            self._calls[wanted] = _Call(registry, choice)
        return self._calls[wanted]


def _without_fingerprint(component: Component) -> str:
    where = "functions of modules that are imported can be, those of an interpreter, of the script itself or over values cannot"
    return f"{component}: its code cannot be fingerprinted, so what it computes is not kept; {where}"


def _content_or_none(path: str) -> str | None:
    try:
        return content_of(Path(path))
    except MissingPathError:
        return None
