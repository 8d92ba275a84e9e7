"""Checks for authors of plug-ins, also available as ``tmi check FILE``."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmi import params as parameters
from tmi.errors import TmiError
from tmi.hashing import canonical
from tmi.plugins.component import Component, suite_file
from tmi.plugins.host import load
from tmi.plugins.inputs import with_absolute_paths
from tmi.plugins.registry import Registry
from tmi.plugins.undeclared import owners_of, undeclared
from tmi.probing import attribution
from tmi.runtime import reads
from tmi.runtime.paths import absolute
from tmi.runtime.time_limit import time_limit

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset

_SECONDS = 20.0
"""How long one function may take."""

_POSITIONAL = {
    "dataset": (),
    "background": ("rng", "task"),
    "network": ("data",),
    "probe": ("network", "data"),
    "method": ("module", "images", "targets"),
    "measure": ("maps", "truth"),
    "report": ("results",),
}


def check_plugin(file: str | Path) -> tuple[list[str], list[str]]:
    """Check a plug-in file: its hooks, imports, signatures, settings and docstrings, and what its functions read.

    Each data set, network, probe, method and measure is called once with its default settings, on a tiny data set and a tiny
    network, to find files that it opens and that its key does not cover. What cannot be computed on these is no problem.

    Parameters
    ----------
    file : str or Path

    Returns
    -------
    problems : list of str
        One line per problem; empty if there is none.
    names : list of str
        The names that the file registers, with their kind: ``"probe mean-margin"``.

    Raises
    ------
    PluginError
        If the file cannot be imported.
    """
    host = load()
    faults_before = len(host.faults)
    host.load_file(file)
    problems = [str(fault) for fault in host.faults[faults_before:]]
    path = absolute(file).resolve()
    registered = [component for component in host.components.values() if component.plugin.file == path]
    sound = []
    for component in registered:
        found = check_component(component)
        problems += [f"{component.kind} {component.name}: {problem}" for problem in found]
        sound += [component] if not found else []
    problems += undeclared_reads(sound, Registry(host))
    return problems, [f"{component.kind} {component.name}" for component in registered]


def check_component(component: Component) -> list[str]:
    """Check one registered function.

    Parameters
    ----------
    component : Component

    Returns
    -------
    list of str
        One line per problem; empty if there is none.
    """
    if component.kind == "suite":
        try:
            suite_file(component)
        except TmiError as error:
            return [str(error)]
        return []
    try:
        function = component.function
        schema = parameters.parameters(function, attribution.GIVEN.get(component.kind, parameters.GIVEN))
    except TmiError as error:
        return [str(error)]
    problems = []
    positional = [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    expected = _POSITIONAL[component.kind]
    if len(positional) != len(expected):
        takes = f"takes {', '.join(expected)} by position" if expected else "takes nothing by position"
        problems.append(f"expected a function that {takes} and settings by keyword (after *), got ({', '.join(positional)})")
    for parameter in schema.values():
        if not parameter.required:
            try:
                canonical(parameters.as_text({parameter.name: parameter.default}))
            except (TypeError, ValueError) as error:
                problems.append(f"the default of {parameter.name} cannot be part of a key: {error}")
    if component.kind == "dataset" and not parameters.takes_seed(function):
        problems.append("a data set must take seed, so that it can be generated again")
    if not inspect.getdoc(function):
        problems.append("has no docstring; tmi list shows its first line")
    return problems


def undeclared_reads(components: Sequence[Component], registry: Registry) -> list[str]:
    """Call functions with their defaults on a tiny data set and network, and find the files that no key covers.

    Parameters
    ----------
    components : sequence of Component
        Suites and reports among them are not called.
    registry : Registry
        Looks up the probe that scores methods and measures.

    Returns
    -------
    list of str
        One sentence per function that reads a file which nothing declares.
    """
    problems: dict[str, str] = {}
    datasets, networks = [_tiny_data()], []
    networks.append((_tiny_network(datasets[0]), datasets[0]))
    for kind in ("background", "dataset", "network", "probe", "method", "measure"):
        for component in (component for component in components if component.kind == kind):
            calls = _calls(component, registry, datasets, networks)
            for call in calls:
                others = [c for c in components if c.kind in ("method", "measure") and c != component]
                named, owners = owners_of([component, *others])
                declared = [path for used in named.values() for path in _paths(used, registry)]
                with reads.watching(owners, declared) as watch:
                    product = _result_of(call)
                problems |= undeclared(watch, named)
                if product is None:
                    continue
                if isinstance(product, tuple):
                    networks.append(product)
                elif kind == "dataset":
                    datasets.append(product)
                break
    return list(problems.values())


def _calls(
    component: Component, registry: Registry, datasets: Sequence[Dataset], networks: Sequence[tuple[Network, Dataset]]
) -> list[Callable[[], Any]]:
    """Return calls of a component, on the tiny data set and network first, and then on those of the plug-in itself."""
    if component.kind == "background":
        return [lambda: _drawn(registry.reference("background", component.name))]
    if component.kind == "dataset":
        return [lambda: registry.generate(component)]
    if component.kind == "network":
        return [lambda data=data: (registry.build(component, data), data) for data in datasets]  # type: ignore[misc]
    settings: dict[str, Any] = {}
    probe = component
    if component.kind != "probe":
        found = _scoring_probe(registry)
        if found is None:
            return []
        probe, settings = found
        name = next(name for name, setting in settings.items() if isinstance(setting, list) == (component.kind == "measure"))
        settings[name] = [component.name] if component.kind == "measure" else component.name
    return [lambda pair=pair: registry.probe(probe, *pair, **settings) for pair in networks]  # type: ignore[misc]


def _scoring_probe(registry: Registry) -> tuple[Component, dict[str, Any]] | None:
    """Return a probe whose settings name one method and some measures, with settings for it; None if there is none."""
    for name in registry.names("probe"):
        probe = registry.find("probe", name)
        kinds = {p.name: parameters.named_kind(p.type) for p in parameters.parameters(probe.function).values()}
        names = {kind: [name for name, named in kinds.items() if named == kind] for kind in ("method", "measure")}
        if all(len(found) == 1 for found in names.values()):
            simple = [
                m for m in registry.names("method") if not attribution.method_info(registry.find("method", m).function).needs
            ]
            return probe, {names["method"][0]: simple[0], names["measure"][0]: registry.names("measure")[:1]}
    return None


def _paths(component: Component, registry: Registry) -> list[str]:
    """Return the paths in the default settings of a component."""
    given = attribution.GIVEN.get(component.kind, parameters.GIVEN)
    paths: list[str] = []
    with suppress(TmiError):
        defaults, _ = parameters.check(component.function, {}, given=given)
        values = with_absolute_paths(component.function, defaults, registry.folder, given, must_exist=False)
        parameters.map_paths(values, lambda path: paths.append(str(path)))
    return paths


def _result_of(call: Callable[[], Any]) -> Any:
    """Return what a call returns; None if it fails or takes too long."""
    with suppress(Exception, SystemExit), warnings.catch_warnings(), time_limit(_SECONDS):
        warnings.simplefilter("ignore")
        return call()
    return None


def _tiny_data() -> Dataset:
    """Return eight training and eight test images of 6×6 pixels with a white or a black square."""
    import numpy as np

    from tmi.tasks.dataset import Dataset
    from tmi.tasks.scenes import Scenes
    from tmi.tasks.task import TemplateTask
    from tmi.tasks.tiles import FeatureTile, TileClass

    full = np.ones((1, 2, 2), bool)
    classes = [
        TileClass(name, [FeatureTile(np.full((1, 2, 2), value), 0.1, full)]) for name, value in (("white", 1.0), ("black", 0.0))
    ]
    task, rng = TemplateTask(classes, (1, 6, 6)), np.random.default_rng(0)
    return Dataset(task, Scenes.draw(task, 8, rng=rng), Scenes.draw(task, 8, rng=rng))


def _drawn(law: Any) -> None:
    """Draw two images on backgrounds of a law."""
    import numpy as np

    from tmi.tasks.backgrounds import draw_recipes

    draw_recipes(np.random.default_rng(0), _tiny_data().task, 2, law).render()


def _tiny_network(data: Dataset) -> Network:
    """Return an untrained network with a convolution, a ReLU and a linear layer."""
    from collections import OrderedDict

    import torch

    from tmi.networks.network import Network
    from tmi.runtime.seeds import fixed_seed

    with fixed_seed(0):
        conv = OrderedDict(conv=torch.nn.Conv2d(1, 2, 2), relu=torch.nn.ReLU())
        module = torch.nn.Sequential(conv | OrderedDict(flatten=torch.nn.Flatten(), logits=torch.nn.Linear(50, 2)))
    return Network(module, ["relu", "logits"], "trained", task=data.task)
