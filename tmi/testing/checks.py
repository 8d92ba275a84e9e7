"""What every plug-in must do, one function a property: each returns the problems of one registered function, as sentences."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

from tmi import params as parameters
from tmi.errors import TmiError
from tmi.hashing import canonical
from tmi.plugins.component import suite_file
from tmi.probing import attribution
from tmi.probing.mutation import data_state, module_state

from .imports import import_problems
from .trial import Call, Trial

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset

Check: TypeAlias = Callable[[Trial], list[str]]

MEGABYTES = 256
"""By how much a call on sixteen images of 6×6 pixels may raise the process's memory."""

_POSITIONAL = {
    "dataset": (),
    "background": ("rng", "task"),
    "network": ("data",),
    "probe": ("network", "data"),
    "method": ("module", "images", "targets"),
    "measure": ("maps", "truth"),
    "report": ("results",),
}


def check_signature(trial: Trial) -> list[str]:
    """It can be imported, takes what its hook says, and has a docstring; its settings have types and can be in a key."""
    component = trial.component
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


def check_import(trial: Trial) -> list[str]:
    """Its module imports no large library, and takes less than a second: it is imported to list names and to plan a suite."""
    return import_problems(trial.component)


def check_runs(trial: Trial) -> list[str]:
    """It computes something on the toy with its defaults, or says in one sentence why it does not apply."""
    return [f"fails: {trial.why_not}"] if trial.fault in ("wrong", "failed") else []


def check_reads(trial: Trial) -> list[str]:
    """It reads no file that its key does not cover."""
    reason = trial.first.undeclared
    return [reason.removeprefix(str(trial.component)).lstrip(": ")] if reason else []


def check_seed(trial: Trial) -> list[str]:
    """Two calls with the same arguments and seed give the same, to the last bit."""
    first, again = trial.first, trial.again
    if again.error is not None and first.error is None:
        return [f"a second call with the same arguments fails: {type(again.error).__name__}: {again.error}"]
    pairs = zip_longest(_outputs(trial, first), _outputs(trial, again), fillvalue=("numbers of results", None))
    differing = [what for (what, one), (other_what, other) in pairs if what != other_what or not _same(one, other)]
    if not differing:
        return []
    return [f"two calls with the same seed give different {differing[0]}; take random numbers from seed alone"]


def check_global_state(trial: Trial) -> list[str]:
    """It leaves the settings of the process as they were: threads, dtype, gradient mode, warning filters, folder, environment.

    The random states may change: while a function runs, they are seeded with its seed, and restored after it.
    """
    return list(dict.fromkeys(text.partition(" left ")[2] or text for text in (*trial.first.switches, *trial.again.switches)))


def check_arguments(trial: Trial) -> list[str]:
    """It changes neither the network nor the data set, nor a method its module, nor a measure its maps and truth."""
    calls = (trial.first, trial.again)
    changed = [call.changed for call in calls] + [inner.changed for call in calls for inner in call.inner]
    return [f"changes the {what}; work on a copy" for what in list(dict.fromkeys(filter(None, changed)))[:1]]


def check_memory(trial: Trial) -> list[str]:
    """It takes at most 256 MB more memory than before, on the toy."""
    megabytes = trial.again.megabytes
    if megabytes is None or megabytes <= MEGABYTES:
        return []
    return [f"takes {megabytes:.0f} MB on the toy, more than {MEGABYTES}; take a few images at a time"]


def check_labels(trial: Trial) -> list[str]:
    """Each image belongs to the class of its label and to no other, by the definition of the task."""
    problems = []
    data: Dataset = trial.first.product
    if not data.task.has_tiles:
        return []
    for part, scenes in (("training", data.train), ("test", data.test)):
        scenes = scenes[:256]
        wrong = (data.task.labels(scenes.images) != scenes.labels).nonzero().flatten().tolist()
        if wrong:
            shown = data.task.memberships(scenes[wrong[0]].images)[0].nonzero().flatten().tolist()
            names = ", ".join(data.task.class_names[number] for number in shown) or "none"
            problems.append(
                f"{len(wrong)} of {len(scenes)} {part} images do not show what their labels say: image {wrong[0]} is labelled "
                f"{_class_name(data, int(scenes.labels[wrong[0]]))} and shows {names}"
            )
    return problems


def check_shapes(trial: Trial) -> list[str]:
    """Maps have the shape of the images, and there is one score for each; a data set has images.

    The shapes of images, logits and arrays are checked whenever they are made: `check_runs` reports what is wrong there.
    """
    kind, product = trial.component.kind, trial.first.product
    if kind == "dataset":
        return [f"it has no {part} images" for part in ("train", "test") if not len(getattr(product, part))]
    if kind == "method" and attribution.method_info(trial.component.function).level == "input":
        return _first(_method_shape(inner.result, inner.arguments[1]) for inner in trial.first.inner)
    if kind == "measure":
        return _first(_measure_shape(inner.result, len(inner.arguments[0])) for inner in trial.first.inner)
    return []


def check_values(trial: Trial) -> list[str]:
    """Maps are finite, and metrics and scores in their declared range.

    That metrics and logits are finite and images in [0, 1] is checked whenever they are made.
    """
    import numpy as np

    kind, product = trial.component.kind, trial.first.product
    if kind == "probe":
        found = ((name, value, product.describe(name)) for name, value in product.metrics.items())
        return [_out_of_range(name, value, i.low, i.high) for name, value, i in found if i and not _within(value, i.low, i.high)]
    values = [_array(inner.result) for inner in trial.first.inner]
    if kind == "method":
        bad = sum(int((~np.isfinite(maps.reshape(len(maps), -1))).any(1).sum()) for maps in values)
        total = sum(len(maps) for maps in values)
        return [f"gives NaN or infinity on {bad} of {total} images"] if bad else []
    info = attribution.measure_info(trial.component.function)
    scores = np.concatenate([value.ravel() for value in values])
    outside = [float(score) for score in scores[~np.isnan(scores)] if not _within(score, info.low, info.high)]
    return [_out_of_range("a score", outside[0], info.low, info.high)] if outside else []


_OF_ALL = (check_signature, check_import)
_OF_CALLS = (*_OF_ALL, check_runs, check_reads, check_seed, check_global_state, check_memory)
CHECKS: dict[str, tuple[Check, ...]] = {
    "dataset": (*_OF_CALLS, check_shapes, check_labels),
    "background": _OF_CALLS,
    "network": (*_OF_CALLS, check_arguments),
    "probe": (*_OF_CALLS, check_arguments, check_values),
    "method": (*_OF_CALLS, check_arguments, check_shapes, check_values),
    "measure": (*_OF_CALLS, check_arguments, check_shapes, check_values),
    "suite": (check_signature,),
    "report": _OF_ALL,
}
"""The checks of each kind."""

WITHOUT_CALL = (*_OF_ALL, check_runs, check_reads)
"""The checks that say something also where no call succeeded."""


def _outputs(trial: Trial, call: Call) -> Iterable[tuple[str, Any]]:
    """Yield what a call gave, by name, in an order of its own."""
    kind, product = trial.component.kind, call.product
    if kind == "background":
        yield "backgrounds", product
    elif kind == "dataset":
        yield "images or labels", data_state(product)
    elif kind == "network":
        yield "weights", module_state(product[0].module)
        yield "logits", _logits(*product)
    elif kind == "probe":
        yield "metrics", dict(product.metrics)
        for name, array in product.arrays.items():
            yield f"array {name}", array.values
    else:
        for inner in call.inner:
            yield "maps" if kind == "method" else "scores", _array(inner.result)


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    if isinstance(one, dict):
        return bool(one == other)
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _array(value: Any) -> Any:
    import numpy as np

    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)


def _logits(network: Network, data: Dataset) -> Any:
    return network.logits(data.test[:16].images)


def _method_shape(maps: Any, images: Any) -> str:
    shape, (count, channels, *size) = tuple(getattr(maps, "shape", ())), tuple(images.shape)
    shapes = ((count, channels, *size), (count, 1, *size), (count, *size))
    return "" if shape in shapes else f"gives maps of shape {shape}, expected {shapes[0]} or {shapes[2]}"


def _measure_shape(scores: Any, count: int) -> str:
    shape = tuple(getattr(scores, "shape", ()))
    return "" if shape == (count,) else f"gives scores of shape {shape}, expected ({count},), one for each image"


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low - 1e-9) and (high is None or value <= high + 1e-9)


def _out_of_range(name: str, value: float, low: float | None, high: float | None) -> str:
    ends = ("…" if end is None else f"{end:g}" for end in (low, high))
    return f"{name} is {value:g}, outside its declared range from {' to '.join(ends)}"


def _class_name(data: Dataset, label: int) -> str:
    return data.task.class_names[label] if 0 <= label < len(data.task.classes) else str(label)


def _first(problems: Iterable[str]) -> list[str]:
    return [problem for problem in problems if problem][:1]
