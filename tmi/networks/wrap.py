"""A module from elsewhere as a network: what its images need, which outputs are the classes, and which layers to examine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tmi.errors import InputError, UnknownNameError, did_you_mean

from .adapters import (
    Form,
    Output,
    evaluating,
    in_full_precision,
    name_without_wrappers,
    shallow_copy,
    with_readout,
    without_wrappers,
)
from .modes import evaluation_mode
from .network import Network
from .plain import copied

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tmi.tasks.dataset import Dataset
    from tmi.tasks.task import TemplateTask


def wrap(
    module: nn.Module,
    task_or_data: TemplateTask | Dataset,
    layers: Sequence[str] | str | None = None,
    *,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    input_size: Sequence[int] | int | None = None,
    channels: int | None = None,
    output: Output | None = None,
    form: Form | None = None,
    classes: Sequence[int] | None = None,
    parts: Mapping[str, Output] | None = None,
    dtype: Literal["float32", "float64"] | None = None,
) -> Network:
    """Make a network of a module: the result takes the images of the task, in [0, 1], and its layers are found.

    Parameters
    ----------
    module : torch.nn.Module
        It is put into evaluation mode, and otherwise left as it is.
    task_or_data : TemplateTask or Dataset
        The layers are found on the first test image of a data set, or on a random image.
    layers : str or sequence of str, optional
        Each is the name of a submodule; a pattern such as ``"layer*"``; or a kind, which is the beginning of a class name, in
        letters of either case: ``"relu"``, ``"conv"``, ``"linear"``. A pattern stands for all submodules, and a kind for all
        submodules without parts, that run exactly once in a forward pass and give one tensor, in the order in which they run;
        where one is used, the layer without parts that runs last comes last, for it gives the logits. By default: the
        non-linearities of ``torch.nn`` (in place of one that runs several times the innermost module around it that runs once);
        where there is none, the innermost modules that have parts; where there is none, convolutions and linear layers.
    mean, std : float or sequence of float, optional
        The module gets (image − mean)/std, one number for all channels or one a channel. Probes change and attribute the image in
        [0, 1].
    input_size : int or (int, int), optional
        Rows and columns that the module takes: images are resized, by bilinear interpolation.
    channels : int, optional
        Channels that the module takes: a grey image is repeated.
    output, form, parts
        See `tmi.Network`.
    classes : sequence of int, optional
        Which of the module's outputs are the classes of the task, in the task's order.
    dtype : {"float32", "float64"}, optional
        In which to compute; by default that of the weights, at least float32.

    Returns
    -------
    Network
        Of origin "imported".

    Raises
    ------
    InputError
        If the module fails on the images, answers with something else than one logit a class, or an option does not fit, with the
        remedy.
    UnknownNameError
        For a layer, pattern or kind that the module does not have.
    """
    import torch

    if not hasattr(module, "named_modules"):
        raise InputError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    given: Any = task_or_data
    task: TemplateTask = getattr(given, "task", given)
    original, module = module, in_full_precision(evaluating(without_wrappers(module)))
    if dtype is not None:
        module = copied(module).to(getattr(torch, dtype))
    preparation = Preparation(task.image_shape[0], mean, std, input_size, channels)
    if not preparation.does_nothing:
        module = shallow_copy(module)
        module.register_forward_pre_hook(preparation)
    if output is not None or form is not None:
        module = with_readout(module, output, form)
    if classes is not None:
        module = shallow_copy(module)
        module.register_forward_hook(Chosen(classes, len(task.classes)))
    test: Any = getattr(given, "test", ())
    image = test.images[:1] if len(test) else torch.rand(1, *task.image_shape, generator=torch.Generator().manual_seed(0))
    parts = {name_without_wrappers(original, name): part for name, part in (parts or {}).items()}
    calls, answer = run(module, image, set(parts), channels)
    _check_number(answer, len(task.classes), classes)
    wanted = [layers] if isinstance(layers, str) else layers
    chosen = default_layers(module, calls) if wanted is None else named_layers(module, wanted, calls, original)
    network = Network(module, chosen, "imported", task=task, parts=parts)
    network.check(image)
    return network


class Preparation:
    """A forward pre-hook that turns an image of the task, in [0, 1], into what a module takes.

    It is a hook and not a module in front, so that the names of the layers stay those of the module.
    """

    def __init__(
        self,
        own_channels: int,
        mean: Sequence[float] | float | None,
        std: Sequence[float] | float | None,
        size: Sequence[int] | int | None,
        channels: int | None,
    ) -> None:
        self.size = [size, size] if isinstance(size, int) else None if size is None else list(size)
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise InputError(f"input_size: expected rows and columns, got {size!r}")
        if channels not in (None, own_channels) and own_channels != 1:
            raise InputError(f"channels: images of the task have {own_channels}; only a grey image can be repeated to {channels}")
        self.channels = None if channels == own_channels else channels
        count = channels or own_channels
        self.mean, self.std = (_numbers(name, value, count) for name, value in (("mean", mean), ("std", std)))
        if self.std is not None and min(self.std) <= 0:
            raise InputError(f"std: expected numbers above 0, got {std!r}")

    @property
    def does_nothing(self) -> bool:
        """Whether the module takes the images as they are."""
        return not any((self.size, self.channels, self.mean, self.std))

    def __call__(self, _module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of the module."""
        first, *others = inputs
        if isinstance(first, tuple):
            # Captum's DeepLift gives images and baselines as two tuples; a hook of its own, which runs later, joins them.
            return tuple(tuple(map(self._prepared, part)) if isinstance(part, tuple) else part for part in inputs)
        return (self._prepared(first), *others)

    def _prepared(self, x: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        if self.size is not None and list(x.shape[2:]) != self.size:
            shrinks = any(new < old for new, old in zip(self.size, x.shape[2:], strict=True))
            x = functional.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=shrinks)
        if self.channels is not None:
            x = x.expand(-1, self.channels, -1, -1)
        if self.mean is not None:
            x = x - x.new_tensor(self.mean)[:, None, None]
        if self.std is not None:
            x = x / x.new_tensor(self.std)[:, None, None]
        return x


class Chosen:
    """A forward hook that keeps some of the logits."""

    def __init__(self, classes: Sequence[int], count: int) -> None:
        self.classes = list(classes)
        if len(self.classes) != count or len(set(self.classes)) != count or min(self.classes) < 0:
            raise InputError(f"classes: expected {count} different outputs, one for each class of the task, got {self.classes}")

    def __call__(self, _module: Any, _inputs: Any, answer: Any) -> Any:
        """Return the logits of the chosen outputs."""
        if getattr(answer, "ndim", 0) < 2:
            return answer
        if max(self.classes) >= answer.shape[1]:
            raise InputError(f"classes: the module has {answer.shape[1]} outputs, so there is no output {max(self.classes)}")
        return answer[:, self.classes]


class Call(NamedTuple):
    """A submodule that ran.

    Attributes
    ----------
    times : int
    is_layer : bool
        Whether it ran once and gave one tensor with an entry an image.
    """

    times: int
    is_layer: bool


def run(module: nn.Module, image: torch.Tensor, with_part: set[str], channels: int | None = None) -> tuple[dict[str, Call], Any]:
    """Send an image through a module; return the submodules that ran, in the order in which they finished, and the answer."""
    import torch

    times: Counter[str] = Counter()
    outputs: dict[str, bool] = {}

    def leave(name: str, output: Any) -> None:
        times[name] += 1
        outputs.pop(name, None)  # the last use counts
        is_tensor = isinstance(output, torch.Tensor) and output.ndim > 0 and len(output) == len(image)
        outputs[name] = is_tensor or name in with_part

    handles = [
        part.register_forward_hook(lambda _m, _x, output, name=name: leave(name, output))  # type: ignore[misc]
        for name, part in module.named_modules()
        if name
    ]
    weight = next((p for p in module.parameters() if p.is_floating_point()), None)
    try:
        with evaluation_mode(module), torch.no_grad():
            answer = module(image if weight is None else image.to(weight))
    except InputError:
        raise
    except Exception as error:
        raise InputError(_failure(module, image, channels, error)) from error
    finally:
        for handle in handles:
            handle.remove()
    return {name: Call(times[name], is_tensor and times[name] == 1) for name, is_tensor in outputs.items()}, answer


def named_layers(module: nn.Module, wanted: Sequence[str], calls: Mapping[str, Call], original: nn.Module) -> list[str]:
    """Return the layers that names, patterns and kinds stand for."""
    submodules = dict(module.named_modules(remove_duplicate=False))
    usable = [name for name, call in calls.items() if call.is_layer]
    result: dict[str, None] = {}
    is_found = False
    for item in wanted:
        name = name_without_wrappers(original, item)
        if name in submodules and name:
            result[name] = None
            continue
        is_found = True
        if any(sign in item for sign in "*?["):
            matching = [name for name in submodules if fnmatchcase(name, item)]
        else:
            matching = [name for name, part in submodules.items() if _is_kind(part, item)]
        if not matching:
            kinds = {type(part).__name__ for part in submodules.values() if not list(part.children())}
            raise UnknownNameError(
                f"layer {item!r}: the module has none{did_you_mean(item, {*filter(None, submodules), *kinds})}"
            )
        kept = [name for name in usable if name in matching]
        if not kept:
            raise InputError(
                f"layer {item!r}: of {', '.join(matching[:3])}{' and others' if len(matching) > 3 else ''} none runs once "
                "and gives one tensor; name the modules around them"
            )
        result |= dict.fromkeys(kept)
    if is_found:
        _put_last(result, module, calls)
    return list(result)


def default_layers(module: nn.Module, calls: Mapping[str, Call]) -> list[str]:
    """Return the layers that are examined where none are named; see `wrap`."""
    submodules = dict(module.named_modules())
    usable = [name for name, call in calls.items() if call.is_layer]
    leaves = {name for name, part in submodules.items() if not list(part.children())}
    around = {name: _around(name, usable) for name in calls if _is_activation(submodules[name])}
    chosen = set(filter(None, around.values()))
    if not chosen:
        blocks = [name for name in usable if name not in leaves]
        chosen = {name for name in blocks if not any(other.startswith(f"{name}.") for other in blocks)}
    if not chosen:
        chosen = {name for name in usable if _is_kind(submodules[name], "conv") or _is_kind(submodules[name], "linear")}
    result = dict.fromkeys(name for name in usable if name in chosen)
    _put_last(result, module, calls)
    if not result:
        raise InputError("layers: no part of the module runs exactly once and gives one tensor; give it parts that do")
    return list(result)


def _put_last(result: dict[str, None], module: nn.Module, calls: Mapping[str, Call]) -> None:
    """Add the layer that gives the logits."""
    submodules = dict(module.named_modules())
    last = next((name for name in reversed(list(calls)) if calls[name].is_layer and not list(submodules[name].children())), None)
    if last is not None:
        result.pop(last, None)
        result[last] = None


def _around(name: str, usable: Sequence[str]) -> str:
    """Return a submodule if it runs once, else the innermost module around it that does; empty if there is none."""
    while name and name not in usable:
        name = name.rpartition(".")[0]
    return name


def _is_activation(part: nn.Module) -> bool:
    return type(part).__module__ == "torch.nn.modules.activation" and not list(part.children())


def _is_kind(part: nn.Module, word: str) -> bool:
    return bool(word) and not list(part.children()) and type(part).__name__.lower().startswith(word.lower())


def _numbers(name: str, value: Sequence[float] | float | None, count: int) -> list[float] | None:
    if value is None:
        return None
    numbers = [float(value)] * count if isinstance(value, int | float) else [float(number) for number in value]
    if len(numbers) != count:
        raise InputError(f"{name}: expected one number, or {count} for {count} channels, got {len(numbers)}")
    return numbers


def _failure(module: nn.Module, image: torch.Tensor, channels: int | None, error: Exception) -> str:
    """Return a sentence for a module that fails on an image, with the option that may help."""
    text = " ".join(str(error).split()).removesuffix(".")[:200]
    convolution = next((part for part in module.modules() if type(part).__name__ == "Conv2d"), None)
    wanted, given = None if convolution is None else convolution.in_channels, channels or image.shape[1]
    remedy = ""
    if wanted not in (None, given):
        remedy = f"; its first convolution takes {wanted} channels, and the images have {given}: channels={wanted}"
    elif "shapes cannot be multiplied" in text or "size" in text:
        remedy = "; if it was made for images of another size, give that as input_size=(rows, columns)"
    return f"module: fails on an image {tuple(image.shape[1:])} ({type(error).__name__}: {text}){remedy}"


def _check_number(answer: Any, count: int, classes: Sequence[int] | None) -> None:
    """Refuse an answer with more logits than the task has classes, with the remedy that `tmi.Network` does not have."""
    shape = tuple(getattr(answer, "shape", ()))
    if classes is None and len(shape) == 2 and shape[1] > count:
        example = ", ".join(map(str, range(min(count, 3))))
        raise InputError(
            f"module: gives {shape[1]} outputs, and the task has {count} classes; say which output stands for each class: "
            f"classes=[{example}{', …' if count > 3 else ''}]"
        )
