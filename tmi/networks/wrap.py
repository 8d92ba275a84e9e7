"""A module from elsewhere as a network: what its images need, which outputs are the classes, and which layers to examine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from tmi.errors import InputError, TmiError
from tmi.params import Count, Index, Parameter, Positive, check_value

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
from .layer_choice import default_layers, layer_of_logits, named_layers, run
from .network import Network
from .plain import copied

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tmi.tasks.dataset import Dataset
    from tmi.tasks.task import TemplateTask

Dtype = Literal["float32", "float64"]

_OPTIONS: dict[str, tuple[Any, str]] = {
    "layers": (list[str] | str, "names of submodules, patterns or kinds"),
    "mean": (list[float] | float, "a finite number, or one a channel"),
    "std": (list[Positive] | Positive, "a finite number above 0, or one a channel"),
    "input_size": (list[Count] | Count, "rows and columns, whole numbers of at least 1"),
    "channels": (Count, "a whole number of at least 1"),
    "output": (int | str, "a position, a name or a function"),
    "classes": (list[Index], "the numbers of outputs, one for each class of the task"),
    "parts": (dict[str, int | str], "a dict that gives for each layer a position, a name or a function"),
    "dtype": (Dtype, " or ".join(f'"{name}"' for name in get_args(Dtype))),
}
"""For each option its type and what is expected, in words; a function is also an ``output`` and a part."""


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
    dtype: Dtype | None = None,
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
        where one is used, the layer without parts from which the logits are computed last comes last. By default: the
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
        If the module fails on the images, answers with something else than one logit a class, the layer of the logits cannot be
        told, or an option does not fit, with the remedy.
    UnknownNameError
        For a layer, pattern or kind that the module does not have.
    """
    import torch

    from tmi.tasks.task import TemplateTask

    task: Any = getattr(task_or_data, "task", task_or_data)
    if not isinstance(task, TemplateTask):
        raise InputError(f"task_or_data: expected a TemplateTask or a Dataset, got {type(task).__name__}")
    wanted, mean, std, input_size, channels, output, classes, parts, dtype = (
        _checked(name, value)
        for name, value in zip(_OPTIONS, (layers, mean, std, input_size, channels, output, classes, parts, dtype), strict=True)
    )
    original, module = module, in_full_precision(evaluating(without_wrappers(module)))
    if dtype is not None:
        module = copied(module).double() if dtype == "float64" else copied(module).float()
    preparation = Preparation(task.image_shape[0], mean, std, input_size, channels)
    if not preparation.does_nothing:
        module = shallow_copy(module)
        module.register_forward_pre_hook(preparation)
    if output is not None or form is not None:
        module = with_readout(module, output, form)
    if classes is not None:
        module = shallow_copy(module)
        module.register_forward_hook(Chosen(classes, len(task.classes)))
    test: Any = getattr(task_or_data, "test", ())
    image = test.images[:1] if len(test) else torch.rand(1, *task.image_shape, generator=torch.Generator().manual_seed(0))
    parts = {name_without_wrappers(original, name): part for name, part in (parts or {}).items()}
    calls, answer = run(module, image, parts, channels)
    _check_number(answer, len(task.classes), classes)
    are_names = False
    if wanted is None:
        chosen = default_layers(module, calls)
    else:
        chosen, are_names = named_layers(module, [wanted] if isinstance(wanted, str) else wanted, calls, original)
    if not are_names:
        last = layer_of_logits(module, image, calls, answer, parts)
        chosen = [*(name for name in chosen if name != last), *filter(None, [last])]
    network = Network(module, chosen, "imported", task=task, parts=parts)
    network.check(image)
    return network


def _checked(name: str, value: Any) -> Any:
    """Return the value of an option, as plain Python numbers and lists.

    Raises
    ------
    InputError
        If it is not what is expected.
    """
    if value is None or (name == "output" and callable(value)):
        return value
    kind, expected = _OPTIONS[name]
    plain = _plain(value)
    parts = isinstance(value, Mapping)  # a function stands for a part as well as a position does
    try:
        checked = check_value(
            Parameter(name, kind, None), {k: 0 if callable(v) else v for k, v in value.items()} if parts else plain
        )
    except TmiError:
        raise InputError(f"{name}: expected {expected}, got {' '.join(repr(plain).split())[:80]}") from None
    return dict(value) if parts else checked


def _plain(value: Any) -> Any:
    """Return arrays, tensors and sequences as lists of Python numbers; other values as they are."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


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
        if self.size is not None and len(self.size) != 2:
            raise InputError(f"input_size: expected rows and columns, got {size!r}")
        if channels not in (None, own_channels) and own_channels != 1:
            raise InputError(f"channels: images of the task have {own_channels}; only a grey image can be repeated to {channels}")
        self.channels = None if channels == own_channels else channels
        count = channels or own_channels
        self.mean, self.std = (_one_a_channel(name, value, count) for name, value in (("mean", mean), ("std", std)))

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
        if len(self.classes) != count or len(set(self.classes)) != count:
            raise InputError(f"classes: expected {count} different outputs, one for each class of the task, got {self.classes}")

    def __call__(self, _module: Any, _inputs: Any, answer: Any) -> Any:
        """Return the logits of the chosen outputs."""
        if getattr(answer, "ndim", 0) < 2:
            return answer
        if max(self.classes) >= answer.shape[1]:
            raise InputError(f"classes: the module has {answer.shape[1]} outputs, so there is no output {max(self.classes)}")
        return answer[:, self.classes]


def _one_a_channel(name: str, value: Sequence[float] | float | None, count: int) -> list[float] | None:
    if value is None:
        return None
    numbers = [value] * count if isinstance(value, int | float) else list(value)
    if len(numbers) != count:
        raise InputError(f"{name}: expected one number, or {count} for {count} channels, got {len(numbers)}")
    return numbers


def _check_number(answer: Any, count: int, classes: Sequence[int] | None) -> None:
    """Refuse an answer with more logits than the task has classes, with the remedy that `tmi.Network` does not have."""
    shape = tuple(getattr(answer, "shape", ()))
    if classes is None and len(shape) == 2 and shape[1] > count:
        example = ", ".join(map(str, range(min(count, 3))))
        raise InputError(
            f"module: gives {shape[1]} outputs, and the task has {count} classes; say which output stands for each class: "
            f"classes=[{example}{', …' if count > 3 else ''}]"
        )
