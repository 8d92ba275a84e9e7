"""Networks from elsewhere, from a suite file alone: what each probe and each attribution method does with them.

``python -m tests.imported_networks`` prints the table; ``--write`` writes it into docs/own-network.md. The users' code is in
tests/plugins/tmi_networks/user_projects. Each network is trained for a few steps by a loop of plain torch, saved as people save
it, converted by the command that the error names, and named in a suite with a plug-in file for the data.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tmi
from tests.network_forms import SETTINGS, colour
from tmi.errors import InputError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "own-network.md"
MARK = "<!-- Written by python -m tests.imported_networks --write -->"
USER_PROJECTS = Path(__file__).parent / "plugins" / "tmi_networks" / "user_projects"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

DATA = f"""
import sys
import tmi

@tmi.hookimpl
def tmi_dataset_generators():
    return {{"colour": "data:colour"}}

def colour(*, seed: int) -> tmi.Dataset:
    sys.path.append({str(ROOT)!r})
    from tests.network_forms import colour
    return colour()
"""

NETWORKS: dict[str, dict[str, Any]] = {
    "ResNet-20": {
        "module": "cifar_resnet.py:resnet20",
        "arguments": {"width": 4},
        "weights": "checkpoint-weights.pt",
        "mean": MEAN,
        "std": STD,
        "classes": [3, 5],
    },
    "torchvision style": {
        "module": "resnet.py:small_resnet",
        "arguments": {"num_classes": 2, "width": 4},
        "weights": "resnet.safetensors",
        "mean": MEAN,
        "std": STD,
        "input_size": [24, 36],
    },
    "the same, .pt2": {"module": "resnet.pt2", "mean": MEAN, "std": STD, "input_size": [24, 36]},
    "ONNX": {"module": "small.onnx", "output": "scores"},
}
"""The tables of the suite, as a user writes them."""


class Twin(nn.Module):
    """The classifier that is written as ONNX, for its training."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, rows, columns = image_shape
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4, eps=1e-3)
        self.hidden, self.scores = nn.Linear(4 * (rows // 2) * (columns // 2), 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.avg_pool2d(self.norm(self.conv(x)).relu(), 2)
        return self.scores(self.hidden(x.flatten(1)).relu())  # type: ignore[no-any-return]

    def arrays(self) -> dict[str, Any]:
        """Return the weights by their names in the ONNX file, whose Gemm has α = 0.5 and β = 2."""
        own = {name: value.numpy() for name, value in self.state_dict().items()}
        norm = {"scale": "norm.weight", "shift": "norm.bias", "mean": "norm.running_mean", "var": "norm.running_var"}
        return {
            **{name: own[key] for name, key in norm.items()},
            "W": own["conv.weight"],
            "B": own["conv.bias"],
            "M": own["hidden.weight"].T,
            "b": own["hidden.bias"],
            "G": own["scores.weight"] * 2,
            "g": own["scores.bias"] / 2,
        }


def train(module: nn.Module, data: tmi.Dataset, prepare: Any = lambda x: x, classes: tuple[int, ...] = (0, 1)) -> nn.Module:
    """Train a module as users do."""
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(12):
        for x, y in zip(data.train.images.split(50), data.train.labels.split(50), strict=True):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(prepare(x.float()))[:, list(classes)], y).backward()
            optimiser.step()
    return module.eval()


@contextlib.contextmanager
def importing(folder: Path) -> Iterator[None]:
    """Import modules of a folder while the block runs."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def lab(folder: Path) -> None:
    """Put the users' files, the data and the suite into a folder."""
    from safetensors.torch import save_file

    shutil.copytree(USER_PROJECTS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    data = colour()
    torch.manual_seed(0)

    def normalised(x: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        return (x - mean) / std

    def large(x: torch.Tensor) -> torch.Tensor:
        return normalised(nn.functional.interpolate(x, (24, 36), mode="bilinear"))

    with importing(folder):
        import cifar_resnet  # type: ignore[import-not-found]
        import resnet  # type: ignore[import-not-found]
        import small_onnx  # type: ignore[import-not-found]

        cifar = train(cifar_resnet.resnet20(10, 4), data, normalised, (3, 5))
        weights = {f"module.{name}": value for name, value in cifar.state_dict().items()}
        torch.save({"epoch": 12, "args": argparse.Namespace(lr=0.01), "state_dict": weights}, folder / "checkpoint.th")
        theirs = train(resnet.small_resnet(2, 4), data, large)
        save_file(theirs.state_dict(), folder / "resnet.safetensors")
        batch = {0: torch.export.Dim("N")}
        program = torch.export.export(theirs, (torch.rand(2, 3, 24, 36),), dynamic_shapes=(batch,))
        torch.export.save(program, folder / "resnet.pt2")
        twin = train(Twin(data.task.image_shape), data)
        assert isinstance(twin, Twin)
        small_onnx.write(folder / "small.onnx", 2, data.task.image_shape, twin.arrays())
    # The checkpoint is pickled. It is converted by the command that the error names.
    pickled = {"module": str(folder / "cifar_resnet.py:resnet20"), "weights": str(folder / "checkpoint.th")}
    with pytest.raises(InputError) as info:
        tmi.build("imported", data, **(NETWORKS["ResNet-20"] | pickled))
    found = re.search(r"by python (-c .*) and give (\S+)$", str(info.value))
    assert found, info.value
    subprocess.run([sys.executable, *shlex.split(found[1])], cwd=folder, check=True)
    assert found[2] == NETWORKS["ResNet-20"]["weights"]
    (folder / "data.py").write_text(DATA)
    (folder / "suite.toml").write_text(suite())


def suite() -> str:
    """Return a suite of these networks with every probe, few images each, and every attribution method."""
    lines = ['plugins = ["data.py"]', "[datasets.colour]", 'use = "colour"']
    for name, table in NETWORKS.items():
        lines += [f"[networks.{json.dumps(name)}]", 'use = "imported"', *map(_setting, table.items())]
    for probe in tmi.names("probe"):
        if probe != "attribution-bench":
            lines += [f"[probes.{probe}]", f'use = "{probe}"', *map(_setting, SETTINGS.get(probe, {}).items())]
    lines += [
        "[probes.attribution-bench]",
        'use = "attribution-bench"',
        "images = 3",
        f"sweep.method = {json.dumps(tmi.names('method'))}",
    ]
    return "\n".join(lines)


def _setting(item: tuple[str, Any]) -> str:
    name, value = item
    if isinstance(value, dict):
        inner = ", ".join(_setting(pair) for pair in value.items())
        return f"{name} = {{ {inner} }}"
    return f"{name} = {json.dumps(value)}"


def table(folder: Path, only: tuple[str, ...] = ()) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]], list[str]]:
    """Run the suite, or a part of it; return the verdicts of probes and methods by network, and the reasons, each once."""
    results = tmi.run(folder / "suite.toml", store=folder / "store", only=only)
    probes: dict[str, dict[str, str]] = {}
    methods: dict[str, dict[str, str]] = {}
    reasons: dict[str, int] = {}
    for entry in results:
        method = entry.swept.get("method")
        refused = entry.metrics.get("refused") == 1
        if entry.status == "ok" and not refused:
            verdict = "runs"
        else:
            notes = [note.removeprefix("refused: ") for note in entry.notes]
            others = f" (and {len(notes) - 1} more reasons)" if len(notes) > 1 else ""
            reason = f"{notes[0]}{others}" if refused and notes else entry.message
            number = reasons.setdefault(" ".join(reason.split()), len(reasons) + 1)
            verdict = f"{'refused' if refused else entry.status} ({number})"
        rows = probes if method is None else methods
        rows.setdefault(entry.probe if method is None else str(method), {})[entry.network] = verdict
    return probes, methods, list(reasons)


def as_markdown(probes: dict[str, dict[str, str]], methods: dict[str, dict[str, str]], reasons: list[str]) -> str:
    """Return both tables and the reasons."""
    lines = []
    for title, rows in (("probe", probes), ("attribution method", methods)):
        lines += [f"| {title} | " + " | ".join(NETWORKS) + " |", "|---" * (len(NETWORKS) + 1) + "|"]
        lines += [f"| {row} | " + " | ".join(cells[name] for name in NETWORKS) + " |" for row, cells in sorted(rows.items())]
        lines.append("")
    return "\n".join([*lines, "The reasons:", "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1)), ""])


def main(arguments: list[str]) -> int:
    """Print the tables, or write them into the page; return 1 if a cell failed with an error that is not one of tmi's own."""
    with tempfile.TemporaryDirectory() as folder:
        lab(Path(folder))
        probes, methods, reasons = table(Path(folder))
    text = as_markdown(probes, methods, reasons)
    if "--write" in arguments:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{MARK}\n")
        PAGE.write_text(f"{before}{MARK}\n\n{text}\n{MARK}{rest.partition(MARK)[2]}", encoding="utf-8")
    else:
        print(text)
    return int(any("failed" in cell for rows in (probes, methods) for cells in rows.values() for cell in cells.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
