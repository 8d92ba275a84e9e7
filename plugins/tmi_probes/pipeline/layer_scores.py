"""The program of probes that score layers: scenes → layers → units → score, beside chance, the untrained network and the oracle.

A probe says how its units are scored against the truth (`LayerScore`); `score_layers` does the rest. A probe whose layers are
not scored against what images show takes `add_untrained` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from .result import ResultBuilder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    from .units import Units

DRAWS = 20
"""Shuffles of the truth by which chance is measured."""

NO_UNTRAINED = (
    "no untrained control: the network's weights from before training are not known; tmi.train_once did not train it, or it was "
    "pruned or parametrised after training"
)
"""The note of a network without that control."""

CONTROLS = (".chance", ".chance.low", ".chance.high", ".untrained", ".oracle")
"""What follows the name of a metric in those of its controls."""


class Truth(Protocol):
    """What N images show, as `tmi_probes.pipeline.features.Features`; it can be shuffled."""

    def shuffled(self, rng: np.random.Generator) -> Any:
        """Return the same for the images in random order."""


T = TypeVar("T", bound=Truth)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a layer's units score against one truth.

    Attributes
    ----------
    metrics : dict of str to float
        By the part of a metric's name before the kind and the layer; without those that are not defined.
    oracle : dict of str to float
        The most that such metrics can be, for those for which it is known.
    arrays : dict of str to (dims, array)
        By the part of the name before the kind and the layer.
    cannot_fail : dict of str to str
        Metrics that every network would score alike, each with the reason; see `ResultBuilder.cannot_fail`.
    """

    metrics: Mapping[str, Any]
    oracle: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, tuple[Any, NDArray[Any]]] = field(default_factory=dict)
    cannot_fail: Mapping[str, str] = field(default_factory=dict)


class LayerScore(ABC, Generic[T]):
    """The scores of one layer's units, against any number of truths: what does not depend on the truth is computed once.

    A sort of the activations, or their standardised values, belongs into the constructor, for `by_chance` is called `DRAWS` times
    a truth.
    """

    @abstractmethod
    def measured(self, truth: T) -> Measured:
        """Return what the units score."""

    def by_chance(self, shuffled: T) -> Mapping[str, float]:
        """Return the metrics against a shuffled truth: all of `measured`, or those for which chance says something.

        A metric that is a mean over units may be the mean over a random part of them; one that is a maximum, or a matching, may
        not: it rises with the number of units.
        """
        return self.measured(shuffled).metrics


def score_layers(
    result: ResultBuilder,
    network: tmi.Network,
    read: Callable[[tmi.Network, list[str]], Iterator[tuple[str, Units]]],
    scoring: Callable[[str, Units, ResultBuilder], LayerScore[T] | None],
    truths: Mapping[Any, T],
    *,
    seed: int,
    draws: int = DRAWS,
) -> None:
    """Score a network's layers against the truth, beside the truth shuffled and the network before training.

    Parameters
    ----------
    result : ResultBuilder
        For each truth and layer gets ``<metric>.<kind>.<layer>`` with ``.chance``, its interval ``.chance.low`` and
        ``.chance.high``, ``.untrained`` where the network has weights from before training, and ``.oracle``; arrays of the same
        form, and notes. An empty kind is left out of the names.
    network : Network
    read : callable
        From a network and a list to which notes are appended to its layers with their units, in any order. For the untrained
        network it is called again and has to choose the same units: draw them with a generator made from the seed.
    scoring : callable
        From a layer, its units and a builder to their scores; None where the layer has nothing to score. What it adds to the
        builder of its own, as the number of units that vary, gets the control ``.untrained`` too; the notes of the untrained
        network are dropped.
    truths : mapping of str to Truth
        What the images show, by kind, such as `tmi_probes.pipeline.features.features_of_kinds` returns.
    seed : int
        Decides the shuffles.
    draws : int
        Shuffles of each truth; 20 at least, or 0 for none.
    """

    def score(examined: tmi.Network, collected: ResultBuilder, shuffles: int) -> None:
        rng = np.random.default_rng(seed)
        for layer, units in read(examined, collected.notes):
            found = scoring(layer, units, collected)
            for kind, truth in truths.items() if found else ():
                assert found is not None
                add_scores(collected, f"{kind}.{layer}" if kind else layer, found, truth, rng, shuffles)

    score(network, result, draws)
    add_untrained(result, network, lambda before, collected: score(before, collected, 0))


def add_untrained(result: ResultBuilder, network: tmi.Network, measure: Callable[[tmi.Network, ResultBuilder], object]) -> None:
    """Add what the network scored before training as ``<metric>.untrained``, or a note that its weights from then are not known.

    Parameters
    ----------
    result : ResultBuilder
        Holds the metrics of the network itself.
    network : Network
    measure : callable
        Adds the same metrics of any network to another builder, whose arrays and notes are dropped.
    """
    before = network.untrained()
    if before is None:
        result.notes.append(NO_UNTRAINED)
        return
    collected = ResultBuilder(result.info)
    measure(before, collected)
    for name, value in collected.metrics.items():
        if name in result.metrics and not name.endswith(CONTROLS):
            result.add(name, result.metrics[name], untrained=value)


def add_scores(
    result: ResultBuilder, name: str, score: LayerScore[T], truth: T, rng: np.random.Generator, draws: int = DRAWS
) -> None:
    """Add the scores of one layer, or of other units, against one truth as ``<metric>.<name>`` with their chance and oracle.

    Parameters
    ----------
    result : ResultBuilder
    name : str
    score : LayerScore
    truth : Truth
    rng : numpy.random.Generator
        Shuffles the truth.
    draws : int
        Shuffles; 20 at least, or 0 for none.
    """
    found = score.measured(truth)
    by_chance = [score.by_chance(truth.shuffled(rng)) for _ in range(draws if found.metrics else 0)]
    for metric, value in found.metrics.items():
        drawn = [draw[metric] for draw in by_chance if metric in draw]
        chance = drawn if drawn and np.isfinite(drawn).all() else None
        result.add(f"{metric}.{name}", value, chance=chance, oracle=found.oracle.get(metric))
    result.arrays |= {f"{array}.{name}": values for array, values in found.arrays.items()}
    for reason in dict.fromkeys(found.cannot_fail.values()):
        names = [f"{metric}.{name}" for metric, because in found.cannot_fail.items() if because == reason]
        result.cannot_fail(", ".join(names), reason)
