"""tmi, template-matching interpretability: networks in which the meaning of every neuron is known, compared with trained ones.

The public names are imported when they are first used. ``import tmi`` therefore does not import torch, and a plug-in's hooks,
``tmi list`` and a run whose results are all in the store stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _lazy
from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .errors import (
        DamagedFileError,
        DataFileError,
        EngineError,
        InputError,
        NoTilesError,
        PluginError,
        StoreError,
        SuiteError,
        TmiError,
        UnknownNameError,
    )
    from .networks.directions import Directions
    from .networks.explanation import Explanation
    from .networks.network import Network
    from .networks.rounding import RoundingWarning, rounding
    from .networks.train_once import train_once
    from .networks.wrap import wrap
    from .plugins.fingerprint import external
    from .plugins.hooks import hookimpl
    from .plugins.registry import build, describe, generate, names, probe
    from .plugins.together import together
    from .probing.attribution import attribution_measure, attribution_method
    from .probing.result import LabelledArray, MetricInfo, ProbeResult
    from .runs.results import Results
    from .runs.runner import load_results, run
    from .runtime.progress import track
    from .store.store import Store, read_result
    from .suites.reader import load_suite
    from .tasks.dataset import Dataset
    from .tasks.labelled import LabelledImages, LabelledTask
    from .tasks.matching.matches import Matches, match, match_batches
    from .tasks.scenes import Scenes
    from .tasks.separation import Separation, separation
    from .tasks.task import TemplateTask
    from .tasks.tiles import FeatureTile, TileClass

_NAMES = {
    "errors": (
        "TmiError",
        "InputError",
        "NoTilesError",
        "UnknownNameError",
        "PluginError",
        "DataFileError",
        "StoreError",
        "DamagedFileError",
        "EngineError",
        "SuiteError",
    ),
    "tasks.tiles": ("FeatureTile", "TileClass"),
    "tasks.task": ("TemplateTask",),
    "tasks.matching.matches": ("match", "match_batches", "Matches"),
    "tasks.scenes": ("Scenes",),
    "tasks.dataset": ("Dataset",),
    "tasks.labelled": ("LabelledTask", "LabelledImages"),
    "tasks.separation": ("separation", "Separation"),
    "networks.network": ("Network",),
    "networks.directions": ("Directions",),
    "networks.explanation": ("Explanation",),
    "networks.rounding": ("rounding", "RoundingWarning"),
    "networks.train_once": ("train_once",),
    "networks.wrap": ("wrap",),
    "probing.result": ("ProbeResult", "LabelledArray", "MetricInfo"),
    "probing.attribution": ("attribution_method", "attribution_measure"),
    "plugins.hooks": ("hookimpl",),
    "plugins.fingerprint": ("external",),
    "plugins.registry": ("names", "describe", "generate", "build", "probe"),
    "plugins.together": ("together",),
    "runtime.progress": ("track",),
    "store.store": ("Store", "read_result"),
    "suites.reader": ("load_suite",),
    "runs.runner": ("run", "load_results"),
    "runs.results": ("Results",),
}
"""The public names by the module that defines them."""

_MODULES = ("errors", "networks", "params", "plugins", "probing", "report", "runs", "runtime", "statistics", "tasks", "testing")
"""The modules whose names the documentation mentions; they are imported when they are first used."""

_MODULE_OF = {name: module for module, names_ in _NAMES.items() for name in names_}

__all__ = [
    "DamagedFileError",
    "DataFileError",
    "Dataset",
    "Directions",
    "EngineError",
    "Explanation",
    "FeatureTile",
    "InputError",
    "LabelledArray",
    "LabelledImages",
    "LabelledTask",
    "Matches",
    "MetricInfo",
    "Network",
    "NoTilesError",
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
    "load_results",
    "load_suite",
    "match",
    "match_batches",
    "names",
    "probe",
    "read_result",
    "rounding",
    "run",
    "separation",
    "together",
    "track",
    "train_once",
    "wrap",
]


_find = _lazy.names(__name__, _MODULE_OF)


def __getattr__(name: str) -> Any:
    return import_module(f".{name}", __name__) if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
