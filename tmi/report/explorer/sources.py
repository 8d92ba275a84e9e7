"""Which data set and networks a page shows, and where they come from: the store, or their generator and builders.

Nothing is written to the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmi.errors import StoreError, TmiError, UnknownNameError, did_you_mean
from tmi.networks import train_once
from tmi.plugins.registry import Named, Registry, installed
from tmi.stages import Stage
from tmi.suites.plan import Planned, make_plan

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.runs.results import Entry, Results
    from tmi.store.store import Store
    from tmi.suites.suite import Suite
    from tmi.tasks.dataset import Dataset

MOST = 2
"""Data sets in the explorer of a report."""

QUICK = 10.0
"""Seconds that a data set or an untrained network of a report may have taken: it is made again if the store does not have it."""


@dataclass(frozen=True)
class Made:
    """A data set or a network: what makes it, and its key in the store, if it has one."""

    label: str
    component: Named
    params: Mapping[str, Any]
    key: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set and networks on it.

    Attributes
    ----------
    registry : Registry
    seed : int
    data : Made
    networks : tuple of Made
    store : Store or None
        Where stored data sets and networks are read from.
    """

    registry: Registry
    seed: int
    data: Made
    networks: tuple[Made, ...]
    store: Store | None = None

    def dataset(self) -> Dataset:
        """Read the data set from the store, or generate it."""
        if self.store is not None and self.data.key is not None:
            stored = self.store.load_dataset(self.data.key, partial(self.registry.reference, "background"))
            if stored is not None:
                return stored[0]
        return self.registry.generate(self.data.component, seed=self.seed, **self.data.params)

    def network(self, made: Made, data: Dataset) -> Network:
        """Build a network, with the weights that the store has of its training."""
        stored = None if self.store is None or made.key is None else self.store.load_network(made.key)
        training = None if stored is None else stored[0]
        with nullcontext() if training is None else train_once.weights(training.weights, training.history):
            return self.registry.build(made.component, data, seed=self.seed, **made.params)

    def build(self, data: Dataset) -> tuple[dict[str, Network], list[tuple[str, str]]]:
        """Return the networks by their labels, and those that cannot be built, each with the reason."""
        networks, failed = {}, []
        for made in self.networks:
            try:
                networks[made.label] = self.network(made, data)
            except TmiError as error:
                failed.append((made.label, str(error)))
            except Exception as error:  # builders may raise anything
                failed.append((made.label, f"{type(error).__name__}: {error}"))
        return networks, failed


def from_suite(
    suite: Suite, store: Store, *, dataset: str | None = None, networks: tuple[str, ...] = (), seed: int | None = None
) -> Source:
    """Return a data set of a suite, and the suite's networks on it.

    Parameters
    ----------
    suite : Suite
    store : Store
    dataset : str, optional
        The label of its table; by default the first.
    networks : tuple of str
        Names or patterns of networks, such as ``"trained*"``; by default one of each table, with the first of the swept settings.
    seed : int, optional
        By default the first that the data set has.

    Raises
    ------
    UnknownNameError
        For a data set, seed or network that the suite does not have.
    """
    plan = make_plan(suite)
    labels = list(dict.fromkeys(planned.cell.dataset.label for planned in plan))
    label = labels[0] if dataset is None else dataset
    if label not in labels:
        raise UnknownNameError(f"data set {label!r}: suite {suite.name} has none{did_you_mean(label, labels)}")
    of_data = [planned for planned in plan if planned.cell.dataset.label == label]
    seeds = list(dict.fromkeys(planned.cell.seed for planned in of_data))
    if seed is not None and seed not in seeds:
        raise UnknownNameError(f"seed {seed}: data set {label!r} of suite {suite.name} has {', '.join(map(str, seeds))}")
    first = next(planned for planned in of_data if seed in (None, planned.cell.seed))
    same = [planned for planned in of_data if planned.dataset_id == first.dataset_id and planned.cell.seed == first.cell.seed]
    chosen = list(_networks(same, networks))
    if not chosen:
        known = ", ".join(dict.fromkeys(str(planned.cell.network) for planned in same))
        raise UnknownNameError(f"network {', '.join(networks)}: data set {label!r} of suite {suite.name} has {known}")
    data = first.cell.dataset
    return Source(
        suite.registry,
        first.cell.seed,
        Made(str(data), data.component, data.params, first.dataset_key),
        tuple(chosen),
        store,
    )


def _networks(same: list[Planned], patterns: tuple[str, ...]) -> Iterator[Made]:
    seen = set()
    for planned in same:
        choice = planned.cell.network
        name = str(choice)
        matching = any(choice.label == p or fnmatchcase(name, p.replace("[", "[[]")) for p in patterns)
        identity = planned.network_id if patterns else choice.label
        if identity not in seen and (matching or not patterns):
            seen.add(identity)
            yield Made(name, choice.component, choice.params, planned.network_key)


def from_names(registry: Registry, names: tuple[str, ...], data: str, *, seed: int = 0) -> Source:
    """Return a registered data set and registered networks, with their defaults or with settings in brackets.

    Parameters
    ----------
    registry : Registry
    names : tuple of str
        Of network builders, such as ``"theorem1"`` or ``"cnn(filters=4)"``.
    data : str
        Of a generator of data sets, likewise.
    seed : int

    Raises
    ------
    UnknownNameError, InputError
        For an unknown name, or settings that cannot be read.
    """
    from tmi.plugins.references import parse

    found = [(kind, text, *parse(text)) for kind, text in (("dataset", data), *(("network", name) for name in names))]
    data_made, *networks = (Made(text, registry.find(kind, name), params) for kind, text, name, params in found)
    return Source(registry, seed, data_made, tuple(networks))


def from_results(results: Results) -> list[Source]:
    """Return what a report can show without training: for each data set the networks of its first seed.

    Parameters
    ----------
    results : Results
        What made each result is read from its record.

    Returns
    -------
    list of Source
        At most `MOST` data sets on which a network is constructed, first those on which one is trained too. A trained network
        takes part if the store has its training, another one if it took `QUICK` seconds at most. Of several networks of one
        builder the first takes part.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in results:
        keys = entry.record.get("keys", {})
        first = groups.setdefault(entry.dataset, [entry])[0] if entry.status == "ok" and keys else entry
        if first is not entry and (keys.get("dataset"), entry.seed) == (first.record["keys"].get("dataset"), first.seed):
            groups[entry.dataset].append(entry)
    sources = []
    for label, entries in groups.items():
        usable = [entry for entry in entries if _is_usable(results.store, entry.record)]
        origins = {entry.record.get("network_origin") for entry in usable}
        if "constructed" in origins:
            sources.append(("trained" not in origins, _from_entries(results, label, usable)))
    return [source for _, source in sorted(sources, key=lambda one: one[0])[:MOST]]


def _is_usable(store: Store | None, record: Mapping[str, Any]) -> bool:
    seconds = record.get("seconds", {})
    if record.get("network_origin") == "trained":
        return _has_training(store, record["keys"].get("network"))
    return all(seconds.get(stage, 0) <= QUICK for stage in ("dataset", "network"))


def _from_entries(results: Results, label: str, entries: list[Entry]) -> Source:
    record = entries[0].record
    registry = results.registry or installed()
    folder = record.get("folder")
    of_builder: dict[str, Made] = {}
    for entry in entries:
        network = entry.record["network"]
        made = Made(entry.network, network["name"], network["params"], entry.record["keys"].get("network"))
        of_builder.setdefault(network["name"], made)
    data = Made(label, record["dataset"]["name"], record["dataset"]["params"], record["keys"].get("dataset"))
    at = registry if folder is None else registry.at(Path(folder))
    return Source(at, record["seed"], data, tuple(of_builder.values()), results.store)


def _has_training(store: Store | None, key: str | None) -> bool:
    """Whether the store has the training of a network."""
    if store is None or key is None or not store.has(Stage.NETWORK, key):
        return False
    try:
        stored = store.load_network(key)
    except StoreError:
        return False
    return stored is not None and stored[0] is not None
