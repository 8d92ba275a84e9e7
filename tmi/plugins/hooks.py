"""The eight hooks that register components, of the built-in plug-ins and of all others.

Each hook returns a mapping from names to targets. A target is ``"module:function"``, imported when first used, or the function
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pluggy

GROUP = "tmi"
"""The entry-point group in which an installed distribution names its plug-in modules."""

hookspec = pluggy.HookspecMarker("tmi")
hookimpl = pluggy.HookimplMarker("tmi")
"""Decorator that marks a function of a plug-in as the implementation of the hook of the same name."""

Targets = Mapping[str, str | Callable[..., Any]]
"""What a hook returns: names, and for each ``"module:function"`` or a function."""


@hookspec
def tmi_dataset_generators() -> Targets:  # type: ignore[empty-body]
    """Name data-set generators: ``def f(*, seed: int, …) -> tmi.Dataset``."""


@hookspec
def tmi_backgrounds() -> Targets:  # type: ignore[empty-body]
    """Name laws of backgrounds: ``def f(rng: numpy.random.Generator, task: tmi.TemplateTask, *, …) -> array`` of one image."""


@hookspec
def tmi_network_builders() -> Targets:  # type: ignore[empty-body]
    """Name network builders: ``def f(data: tmi.Dataset, *, seed: int, …) -> tmi.Network``."""


@hookspec
def tmi_probes() -> Targets:  # type: ignore[empty-body]
    """Name probes: ``def f(network: tmi.Network, data: tmi.Dataset, *, …) -> tmi.ProbeResult``."""


@hookspec
def tmi_attribution_methods() -> Targets:  # type: ignore[empty-body]
    """Name attribution methods: ``def f(module, images, targets, *, …) -> maps``."""


@hookspec
def tmi_attribution_measures() -> Targets:  # type: ignore[empty-body]
    """Name measures of attributions: ``def f(maps, truth, *, …) -> scores``."""


@hookspec
def tmi_suites() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Name suites that ship with a package: ``"package:file.toml"``."""


@hookspec
def tmi_reports() -> Targets:  # type: ignore[empty-body]
    """Name report writers: ``def f(results: tmi.Results) -> list[tmi.report.Section]``."""
