"""tmi, template-matching interpretability: networks whose every neuron is understood, beside trained ones.

The names below are loaded when first used, so that ``import tmi`` costs no torch: a plug-in's hooks, ``tmi list``
and a warm run stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .apart import Separation, separation
    from .attribution import attribution_measure, attribution_method
    from .dataset import Dataset, Scenes
    from .errors import (
        DamagedFileError,
        DataFileError,
        EngineError,
        InputError,
        PluginError,
        StoreError,
        SuiteError,
        TmiError,
        UnknownNameError,
    )
    from .explain import Explanation
    from .hookspecs import hookimpl
    from .keys import external
    from .matching import Matches, match, match_batches
    from .network import Network
    from .precision import RoundingWarning, rounding
    from .progress import track
    from .registry import build, describe, generate, names, probe
    from .result import LabelledArray, MetricInfo, ProbeResult
    from .results import Results
    from .runner import run
    from .store import Store, read_result
    from .suite import load_suite
    from .tiles import FeatureTile, TemplateTask, TileClass
    from .trained import train_once

_HOME = {
    "errors": (
        "TmiError",
        "InputError",
        "UnknownNameError",
        "PluginError",
        "DataFileError",
        "StoreError",
        "DamagedFileError",
        "EngineError",
        "SuiteError",
    ),
    "tiles": ("FeatureTile", "TileClass", "TemplateTask"),
    "matching": ("match", "match_batches", "Matches"),
    "dataset": ("Scenes", "Dataset"),
    "apart": ("separation", "Separation"),
    "network": ("Network",),
    "explain": ("Explanation",),
    "precision": ("rounding", "RoundingWarning"),
    "result": ("ProbeResult", "LabelledArray", "MetricInfo"),
    "hookspecs": ("hookimpl",),
    "keys": ("external",),
    "attribution": ("attribution_method", "attribution_measure"),
    "progress": ("track",),
    "trained": ("train_once",),
    "registry": ("names", "describe", "generate", "build", "probe"),
    "store": ("Store", "read_result"),
    "suite": ("load_suite",),
    "runner": ("run",),
    "results": ("Results",),
}
_MODULE_OF = {name: module for module, names_ in _HOME.items() for name in names_}

__all__ = [
    "DamagedFileError",
    "DataFileError",
    "Dataset",
    "EngineError",
    "Explanation",
    "FeatureTile",
    "InputError",
    "LabelledArray",
    "Matches",
    "MetricInfo",
    "Network",
    "PluginError",
    "ProbeResult",
    "Results",
    "RoundingWarning",
    "Scenes",
    "Separation",
    "Store",
    "StoreError",
    "SuiteError",
    "TemplateTask",
    "TileClass",
    "TmiError",
    "UnknownNameError",
    "attribution_measure",
    "attribution_method",
    "build",
    "describe",
    "external",
    "generate",
    "hookimpl",
    "load_suite",
    "match",
    "match_batches",
    "names",
    "probe",
    "read_result",
    "rounding",
    "run",
    "separation",
    "track",
    "train_once",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'tmi' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
