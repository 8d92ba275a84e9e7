"""Finds the results of the bench in any suite, by the registered probe and not by the labels of the suite's tables.

The report is written for suite ``attribution``, whose networks have one data set each and whose labels say what is attributed.
Results of another suite get such labels here: a network is named by its origin, its label and what else sets it apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tmi
from tmi.errors import PluginError, UnknownNameError
from tmi.probing.attribution import method_info

from .labels import LAYERS, METHODS

if TYPE_CHECKING:
    from tmi.runs.results import Entry

REPORT = "attribution"
"""The report that suite ``attribution`` names: its labels are those of `labels`."""

_LABELS = {"randomisation": "randomisation", "ig-convergence": "convergence"}
_APART = ("images", "baseline", "target")
"""Settings of the bench that must be equal where methods are compared."""

About = dict[str, Any]


def relabelled(results: tmi.Results) -> tuple[tmi.Results, dict[str, str]]:
    """Return the results with the labels of suite ``attribution``.

    Parameters
    ----------
    results : Results
        Of any suite.

    Returns
    -------
    results : Results
        Those of suite ``attribution`` as they are. Of others, those of the bench and of the probes that its report shows: a
        network is named by its origin and label, and by the data set and the settings that take several values; the probe has
        the label ``methods`` where pixels are attributed, else one that says what is; the method is the only swept setting.
    layers : dict of str to str
        What is attributed by the other labels, see `labels.LAYERS`.
    """
    if results.report == REPORT:
        return results, LAYERS
    found: list[tuple[Entry, str, About]] = []
    layers: dict[str, str] = {}
    for entry in results:
        about: About = {"data set": entry.dataset}
        about |= {name: value for name, value in entry.swept.items() if results.columns.get(name) != "probe"}
        if entry.registered_probe in _LABELS:
            found.append((entry, _LABELS[entry.registered_probe], about))
        elif entry.registered_probe == "attribution-bench":
            settings = _settings(entry)
            level, layer = _level(results, entry), settings.get("layer") or "hidden"
            label = METHODS[0] if level == "input" else f"{level}s: {layer}"
            if level != "input":
                layers[label] = f"layer {layer}" if level == "layer" else f"neurons of {layer}"
            found.append((entry, label, about | {name: settings[name] for name in _APART if name in settings}))
    values: dict[tuple[str, str], set[str]] = {}
    for entry, _, about in found:
        for name, value in about.items():
            values.setdefault((entry.network, name), set()).add(repr(value))
    entries = []
    for entry, label, about in found:
        apart = [
            str(value) if name == "data set" else f"{name} {value}"
            for name, value in about.items()
            if value is not None and len(values[entry.network, name]) > 1
        ]
        network = ", ".join([f"{entry.record.get('network_origin', 'network')}: {entry.network}", *apart])
        method = entry.swept.get("method", _settings(entry).get("method"))
        entries.append(replace(entry, probe=label, network=network, swept={"method": method} if method else {}))
    return results.with_entries(entries), layers


def _settings(entry: Entry) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = entry.record.get("probe", {}).get("params", {})
    return settings


def _level(results: tmi.Results, entry: Entry) -> str:
    """Return what the method of an entry attributes to: "input", "layer" or "neuron"."""
    names = [used["name"] for used in entry.record.get("probe", {}).get("uses", ()) if used["kind"] == "method"]
    if names and results.registry is not None:
        with suppress(UnknownNameError, PluginError):
            return method_info(results.registry.find("method", names[0]).function).level
    return "input"
