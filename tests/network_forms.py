"""Every probe on networks of other forms: its numbers must be those of the plain equivalent, or it must say why not.

``python -m tests.network_forms`` prints the table probe × form; ``--write`` writes it into docs/networks.md. Each form is made
from the same trained network by rewriting it, so that the plain equivalent, one convolution after another, is known exactly.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import tmi
from tmi.errors import TmiError

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
MARK = "<!-- Written by python -m tests.network_forms --write -->"
RELATIVE = 1e-5
"""The largest difference from the plain equivalent's numbers, relative to the greater of 1 and the number."""

SETTINGS: dict[str, dict[str, Any]] = {
    "attack": {"images": 6, "steps": 4},
    "activation-maximisation": {"units": 2, "restarts": 2, "steps": 5},
    "activation-patching": {"images": 6},
    "ablation": {"images": 6},
    "attribution": {"images": 3, "methods": ["saliency", "integrated-gradients(steps=4)", "deeplift", "gradient-shap(draws=2)"]},
    "background-kinds": {"tiles": 2, "backgrounds": 3},
    "background-robustness": {"tiles": 2, "backgrounds": 4},
    "decodability": {"folds": 2, "images": 24},
    "deformation": {"images": 6},
    "dictionary": {
        "atoms": 4,
        "images": 24,
        "train_images": 24,
        "sample": "test",
        "steps": 10,
        "fits": 2,
        "active": [2],
        "penalties": [0.3],
    },
    "direction-recovery": {"atoms": 4, "images": 24, "test_images": 24, "steps": 10, "fits": 2, "penalties": [0.1]},
    "disguises": {"images": 2, "methods": ["saliency", "layer-activation"], "disguises": ["split", "basis"]},
    "feature-neurons": {"images": 20, "share": 0.9, "draws": 3},
    "ig-convergence": {"images": 2, "steps": [2, 5]},
    "linear-regions": {"images": 12, "paths": 1},
    "local-linear-form": {"images": 4, "tiles": 1, "backgrounds": 2, "places": 2},
    "logit-decomposition": {"images": 12, "forms": 3, "tiles": 2, "backgrounds": 4, "places": 4},
    "randomisation": {"method": "saliency", "images": 4, "draws": 2},
    "responsible-neurons": {"images": 8},
    "superposition": {"images": 60},
    "translation-robustness": {"tiles": 2, "places": 4},
    "unit-recovery": {"images": 60},
    "variance-ratio": {"tiles": 2, "backgrounds": 4, "places": 4},
}
"""Fewer images and steps than by default, so that a cell takes a second."""

OF_WEIGHTS: dict[str, tuple[str, ...]] = {
    "prunability": ("accuracy",),
    "randomisation": (),
    "weight-sparsity": ("weights.", "logits_reached."),
}
"""Probes of weights, and their metrics that forms with other weights share with the equivalent."""

BENCH = ("saliency", "deeplift", "grad-cam", "layer-activation")
"""The attribution methods in the table."""

Build = Callable[["Net"], nn.Module]


class Net(nn.Module):
    """Two convolutions, each with a ReLU, and a linear layer; the first has no padding, so that a shift of the input folds in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 6, 3), nn.ReLU()
        self.conv2, self.act2 = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        self.pool, self.flat, self.fc = nn.AvgPool2d(5), nn.Flatten(), nn.Linear(36, 2)

    def before(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def first(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(x))  # type: ignore[no-any-return]

    def second(self, z: torch.Tensor) -> torch.Tensor:
        return self.act2(self.conv2(z))  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc(self.flat(self.pool(self.second(self.first(self.before(x))))))


def like(net: Net, kind: type[Net]) -> Any:
    """Return a network of another class with the same parts."""
    result = copy.deepcopy(net)
    result.__class__ = kind
    return result


class Normed(Net):
    """With batch normalisation between the first convolution and its ReLU."""

    norm: nn.BatchNorm2d

    def first(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]


def batch_norm(net: Net) -> nn.Module:
    result = like(net, Normed)
    norm = nn.BatchNorm2d(6).double()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            value.copy_(torch.rand(6, generator=rng, dtype=torch.float64) + 0.5)  # type: ignore[union-attr]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # type: ignore[operator]
        result.conv.weight.copy_(net.conv.weight / scale[:, None, None, None])
        result.conv.bias.copy_((net.conv.bias - norm.bias) / scale + norm.running_mean)
    result.norm = norm
    return result  # type: ignore[no-any-return]


class Residual(Net):
    """With the input of the second convolution added to its output."""

    def second(self, z: torch.Tensor) -> torch.Tensor:
        return self.act2(self.conv2(z) + z)  # type: ignore[no-any-return]


def residual(net: Net) -> nn.Module:
    result = like(net, Residual)
    with torch.no_grad():
        result.conv2.weight -= nn.init.dirac_(torch.empty_like(result.conv2.weight))
    return result  # type: ignore[no-any-return]


def weight_norm(net: Net) -> nn.Module:
    result = copy.deepcopy(net)
    nn.utils.parametrizations.weight_norm(result.conv)
    with warnings.catch_warnings(action="ignore"):  # torch advises against the older form, which people have
        nn.utils.weight_norm(result.conv2)
    nn.utils.parametrizations.weight_norm(result.fc)
    result(
        torch.rand(1, 3, 12, 18, dtype=torch.float64)
    )  # as after training: the older form keeps a weight with its gradient's graph
    return result


class Normalised(Net):
    """With the usual normalisation of the input."""

    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)[:, :, None, None]

    def before(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean.to(x)) / self.std.to(x)


def normalised(net: Net) -> nn.Module:
    result = like(net, Normalised)
    with torch.no_grad():
        result.conv.bias += (net.conv.weight * Normalised.mean).sum((1, 2, 3))
        result.conv.weight *= Normalised.std
    return result  # type: ignore[no-any-return]


class Pair(Net):
    """With its activations beside the logits."""

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x), self.conv(x)


class Tokens(nn.Module):
    """An attention layer between a convolution and the logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act = nn.Conv2d(3, 16, 3, 3), nn.ReLU()
        self.attn: nn.Module = nn.MultiheadAttention(16, 2, batch_first=True)
        self.fc = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> Any:
        tokens = self.act(self.conv(x)).flatten(2).transpose(1, 2)
        output = self.attn(tokens, tokens, tokens)
        return self.fc((output if isinstance(output, torch.Tensor) else output[0]).mean(1))


class First(nn.Module):
    """The first output of a module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(*inputs)[0]  # type: ignore[no-any-return]


def attention(_net: Net) -> nn.Module:
    return Tokens().double()


def attention_alone(_net: Net) -> nn.Module:
    result = Tokens().double()
    result.attn = First(result.attn)
    return result


class Shared(Net):
    """With one ReLU for both convolutions."""

    def second(self, z: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv2(z))  # type: ignore[no-any-return]


class Dropped(Net):
    """With a dropout that stays on in evaluation mode."""

    def second(self, z: torch.Tensor) -> torch.Tensor:
        return F.dropout(super().second(z), 0.5)


def rounded(net: Net) -> nn.Module:
    return copy.deepcopy(net).bfloat16().float()


class Answered(dict):
    """What libraries return: a dict with attributes."""

    __getattr__ = dict.__getitem__


ANSWERS: dict[str, tuple[Callable[[torch.Tensor], Any], dict[str, Any]]] = {
    "(N, L, 1, 1)": (lambda y: y[..., None, None], {}),
    "(N, L, 1)": (lambda y: y[..., None], {}),
    "(N, 1, L)": (lambda y: y[:, None], {"form": "squeeze"}),
    "(N, L, 5, 3), mean": (lambda y: y[..., None, None] + torch.arange(15).reshape(5, 3) - 7, {"form": "mean"}),
    "(N, L, 5, 3), max": (lambda y: y[..., None, None] - torch.arange(15).reshape(5, 3), {"form": "max"}),
    "tuple": (lambda y: (y * 2, y), {"output": 1}),
    "list": (lambda y: [y, None], {"output": 0}),
    "dict": (lambda y: {"aux": y * 2, "logits": y}, {"output": "logits"}),
    "object": (lambda y: Answered(logits=y, hidden=None), {"output": "logits"}),
    "one class more": (lambda y: torch.cat([y, y[:, :1] - 9], 1), {"output": lambda y: y[:, :2]}),
    "a map in a tuple": (lambda y: (None, y[..., None].repeat(1, 1, 3)), {"output": 1, "form": "mean"}),
}
"""Answers in other shapes than (N, 2): how they are made from logits, and the options of `tmi.Network` that find those."""


class Answering(nn.Module):
    """A network whose answer has another shape."""

    def __init__(self, net: nn.Module, answer: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.net, self.answer = net, answer

    def forward(self, x: torch.Tensor) -> Any:
        return self.answer(self.net(x))


class Form(NamedTuple):
    """A network of another form.

    Attributes
    ----------
    build : callable
        Makes it from the plain network.
    equivalent : callable
        Makes the plain network that computes the same.
    options : dict
        Of `tmi.Network`.
    layers : tuple of str
    other_weights : bool
        Whether its weights are other numbers than the equivalent's: pruning them by size is another experiment.
    """

    build: Build
    equivalent: Build = copy.deepcopy
    options: Mapping[str, Any] = MappingProxyType({})
    layers: tuple[str, ...] = ("act", "act2", "fc")
    other_weights: bool = False


FORMS: dict[str, Form] = {
    "plain": Form(copy.deepcopy),
    "batch norm": Form(batch_norm, other_weights=True),
    "residual": Form(residual, other_weights=True),
    "weight norm": Form(weight_norm),
    "normalised input": Form(normalised, other_weights=True),
    "bfloat16": Form(lambda net: copy.deepcopy(net).bfloat16(), rounded),
    "compiled": Form(lambda net: torch.compile(copy.deepcopy(net), backend="eager")),  # type: ignore[arg-type, return-value]
    "tuple output": Form(lambda net: like(net, Pair), options={"output": 0}),
    "attention layer": Form(attention, attention_alone, {"parts": {"attn": 0}}, ("act", "attn", "fc")),
    "shared ReLU": Form(lambda net: like(net, Shared), layers=("act", "fc")),
    "dropout left on": Form(lambda net: like(net, Dropped)),
}


def colour() -> tmi.Dataset:
    """Return two classes of one colour tile each, on images of 12×18."""
    wide, high = np.zeros((3, 3, 4)), np.zeros((3, 4, 3))
    wide[0] = high[2] = 1
    tiles = [tmi.FeatureTile(values, 3.0, support=np.ones(values.shape, bool)) for values in (wide, high)]
    task = tmi.TemplateTask([tmi.TileClass("red", tiles[:1]), tmi.TileClass("blue", tiles[1:])], image_shape=(3, 12, 18))
    train, test = (tmi.Scenes.draw(task, count, rng=np.random.default_rng(seed)) for seed, count in enumerate((200, 40)))
    return tmi.Dataset(task, train, test)


def trained(data: tmi.Dataset, epochs: int = 10) -> Net:
    """Return the plain network, trained; in float64, so that what is rewritten computes the same to 1e-15."""
    torch.manual_seed(0)
    net = Net().double()
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(epochs):
        for x, y in zip(data.train.images.split(50), data.train.labels.split(50), strict=True):
            optimiser.zero_grad()
            F.cross_entropy(net(x.double()), y).backward()
            optimiser.step()
    return net.requires_grad_(True).eval()


def probes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield row, probe and settings."""
    for name in tmi.names("probe"):
        if name == "attribution-bench":
            for method in BENCH:
                layer = {"layer": "act"} if method == "layer-activation" else {}
                yield f"{name}, {method}", name, {"method": method, "images": 3, **layer}
        else:
            yield name, name, SETTINGS.get(name, {})


class Result(NamedTuple):
    """The metrics of a probe, or why there are none."""

    metrics: dict[str, float]
    refusal: str = ""


def result_of(network: tmi.Network, data: tmi.Dataset, probe: str, settings: dict[str, Any]) -> Result:
    """Run a probe; the refusal of an error that is not one of tmi's own begins with "RAW"."""
    try:
        with warnings.catch_warnings(action="ignore"):
            result = tmi.probe(probe, network, data, **settings)
    except TmiError as error:
        return Result({}, str(error))
    except Exception as error:
        return Result({}, f"RAW {type(error).__name__}: {error}")
    refused = not result.applicable or result.metrics.get("refused") == 1
    return Result(dict(result.metrics), "; ".join(result.notes) if refused else "")


def verdict(row: str, form: Form, given: Result, plain: Result) -> str:
    """Compare a probe's result on a form with that on its equivalent, in a word; a fault begins with "WRONG"."""
    if (given.refusal + plain.refusal).count("RAW"):
        return f"WRONG: {given.refusal or plain.refusal}"
    if given.refusal:
        return "not applicable" if plain.refusal else "refused"
    names = set(given.metrics) | set(plain.metrics)
    own = form.other_weights and row in OF_WEIGHTS
    if own:
        names = {name for name in names if name.startswith(OF_WEIGHTS[row])}
    far = {}
    for name in names:
        a, b = given.metrics.get(name, np.nan), plain.metrics.get(name, np.nan)
        if not abs(a - b) <= RELATIVE * max(1, abs(b)):
            far[name] = f"{a:.6g} instead of {b:.6g}"
    if far:
        name = min(far)
        return f"WRONG: {len(far)} of {len(names)}, as {name} {far[name]}"
    return "own weights" if own else "equal"


def networks(form: Form, net: Net, task: tmi.TemplateTask) -> tuple[tmi.Network, tmi.Network]:
    """Return the network of a form and its plain equivalent."""
    given = tmi.Network(form.build(net), form.layers, "trained", task=task, **form.options)
    return given, tmi.Network(form.equivalent(net), form.layers, "trained", task=task)


def table(only: str = "") -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the verdicts by row and form, and the sentence of each refusal."""
    data = colour()
    net = trained(data)
    verdicts: dict[str, dict[str, str]] = {row: {} for row, *_ in probes() if only in row}
    sentences: dict[str, str] = {}
    for name, form in FORMS.items():
        given, plain = networks(form, net, data.task)
        print(f"{name} …", file=sys.stderr, flush=True)
        for row, probe, settings in probes():
            if only not in row:
                continue
            result = result_of(given, data, probe, settings)
            verdicts[row][name] = verdict(row, form, result, result_of(plain, data, probe, settings))
            if verdicts[row][name] == "refused":
                sentences.setdefault(name, result.refusal)
                if sentences[name] != result.refusal:
                    sentences[f"{name}, {row}"] = result.refusal
    return verdicts, sentences


def as_markdown(verdicts: dict[str, dict[str, str]], sentences: dict[str, str]) -> str:
    """Return the table and the refusals."""
    lines = ["| probe | " + " | ".join(FORMS) + " |", "|---" * (len(FORMS) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(cells[name] for name in FORMS) + " |" for row, cells in verdicts.items()]
    return "\n".join([*lines, "", "The refusals:", "", *(f"- {name}: “{text}”" for name, text in sentences.items()), ""])


def main(arguments: list[str]) -> int:
    """Print the table, or write it into the page; return 1 if a number is wrong."""
    verdicts, sentences = table(*(word for word in arguments if not word.startswith("-")))
    text = as_markdown(verdicts, sentences)
    if "--write" in arguments:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{MARK}\n")
        after = rest.partition(MARK)[2]
        PAGE.write_text(f"{before}{MARK}\n\n{text}\n{MARK}{after}", encoding="utf-8")
    else:
        print(text)
    return int(any(word.startswith("WRONG") for cells in verdicts.values() for word in cells.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
