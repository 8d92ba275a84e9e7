"""Provenance: everything that made a number, and what only accompanied it."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmi._version import __version__
from tmi.params import as_text
from tmi.plugins import fingerprint
from tmi.stages import Stage
from tmi.suites.keys import paths_of

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.plugins.component import Component
    from tmi.suites.plan import Planned
    from tmi.suites.suite import Choice
    from tmi.tasks.dataset import Dataset


def record_of(
    planned: Planned,
    stage: Stage,
    seconds: Any,
    *,
    network: Network | None = None,
    data: Dataset | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the provenance of a data set, a network or a result, as JSON.

    Parameters
    ----------
    planned : Planned
    stage : Stage
    seconds : float or mapping of str to float
        What it took.
    network : Network, optional
        Its device and its origin are recorded.
    data : Dataset, optional
        Its notes are recorded, and that its grey values are ink where they are, for the report's figures.
    warnings : sequence of str
        Given while it was made.
    """
    import torch

    cell = planned.cell
    choices = cell.choices[: len(stage.so_far)]
    made: dict[str, Any] = {
        "tmi": __version__,
        "versions": {**fingerprint.versions(), "python": platform.python_version()},
        "seed": cell.seed,
        **{choice.kind: _choice(planned, choice) for choice in choices},
        "device": _device(network),
        "threads": torch.get_num_threads(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "seconds": seconds,
        "finished": now(),
        "warnings": list(warnings),
    }
    if network is not None:
        made["network_origin"] = network.origin
    if stage != Stage.DATASET:
        made["keys"] = {choice.kind: planned.keys[Stage(choice.kind)] for choice in choices[:-1]}
    if data is not None:
        made["data"] = dict(data.notes)
        if data.task.ink:
            made["ink"] = True
    if planned.contents and any(paths_of(planned.registry, choice) for choice in choices):
        made["folder"] = str(planned.registry.folder)  # relative paths in settings start from it
    revisions = {choice.component.plugin.name: revision for choice in choices if (revision := _revision(choice))}
    if revisions:
        made["git"] = revisions
    return made


def now() -> str:
    """Return the time in UTC, as ISO 8601 writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_revision(folder: Path) -> str | None:
    """Return the revision of the git repository that a folder lies in, with ``+`` where files differ from it.

    None where there is no repository, no git, or no answer within a second.
    """
    return _git(str(folder))


def _choice(planned: Planned, choice: Choice) -> dict[str, Any]:
    """Describe a data set, network or probe; ``uses`` describes the methods and measures that its settings name, if any."""
    references = planned.registry.references(choice.component, choice.params)
    uses = [{"kind": used.component.kind, **_component(used.component, used.params)} for used in references]
    return _component(choice.component, choice.params) | ({"uses": uses} if uses else {})


def _component(component: Component, params: Mapping[str, Any]) -> dict[str, Any]:
    plugin = component.plugin
    return {"name": component.name, "params": as_text(params), "plugin": plugin.name, "origin": plugin.origin}


def _device(network: Network | None) -> str:
    if network is None:
        return "cpu"
    devices = {str(tensor.device) for tensor in (*network.module.parameters(), *network.module.buffers())}
    return ", ".join(sorted(devices)) or "cpu"


def _revision(choice: Choice) -> str | None:
    source = choice.component.source_file
    return None if source is None else git_revision(source.parent)


@functools.cache
def _git(folder: str) -> str | None:
    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", folder, *arguments],
                capture_output=True,
                text=True,
                timeout=1,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package is its version's, whatever repository its environment lies in.
    if {"site-packages", "dist-packages"} & set(Path(folder).parts):
        return None
    revision = ask("rev-parse", "HEAD")
    if not revision:
        return None
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", ".")
    return revision + ("+" if changed else "")
