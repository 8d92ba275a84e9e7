"""Functions and classes that are defined in ``__main__``, as in a notebook or a program that is read from standard input."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tmi import toys

pytestmark = pytest.mark.slow

PROGRAM = """
import math
import warnings

import torch

import tmi


class Net(torch.nn.Module):
    def __init__(self, task):
        super().__init__()
        self.hidden = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(math.prod(task.image_shape), 3), torch.nn.ReLU())
        self.logits = torch.nn.Linear(3, len(task.classes))

    def forward(self, images):
        return self.logits(self.hidden(images))


def mine(data: tmi.Dataset, *, seed: int, scale: float = 1.0) -> tmi.Network:
    return tmi.wrap(Net(data.task), data, layers=["hidden", "logits"])


def spread(network: tmi.Network, data: tmi.Dataset, *, share: float = 0.5) -> tmi.ProbeResult:
    logits = network(data.test.images)
    return tmi.ProbeResult({"spread": logits.std(), "share": share}, {"logits": (("image", "class"), logits)})


@tmi.attribution_method()
def ones(network: tmi.Network, images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(images)


SUITE = {
    "datasets": {"d": {"use": "toy-data"}},
    "networks": {"mine": {"use": mine, "sweep": {"scale": [1.0, 2.0]}}, "toy": {"use": "toy-net"}},
    "probes": {"spread": {"use": spread, "share": 0.25}, "toy": {"use": "toy-probe"}},
    "plugins": ["toys.py"],
}
"""


def program(code, folder, *, stdin=True):
    toys.plugin(folder)
    text = PROGRAM + code
    if not stdin:
        (folder / "program.py").write_text(text)
        return toys.python("program.py", folder=folder)
    return subprocess.run(
        [sys.executable, "-"],
        input=text,
        cwd=folder,
        env=toys.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


CALLS = """
data = tmi.generate("squares", samples=20, test_samples=10)
network = tmi.build(mine, data, scale=3.0)
assert network.params == {"scale": 3.0}
assert tmi.probe(spread, network, data, share=0.75)["share"] == 0.75
assert tmi.probe("accuracy", tmi.wrap(Net(data.task), data), data)["accuracy"] >= 0
scores = tmi.probe("attribution", network, data, methods=[ones], controls=[])
assert any("ones" in name for name in scores), scores
try:
    tmi.probe("accuracy", Net(data.task), data)
except tmi.InputError as error:
    print(error)
"""


@pytest.mark.parametrize("stdin", [True, False], ids=["standard input", "file"])
def test_they_are_called(tmp_path, stdin):
    done = program(CALLS, tmp_path, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "probe 'accuracy': expected a Network, got Net; make one of it by tmi.wrap(module, data, layers=[…])\n"


RUN = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    runs = tmi.run(SUITE, "store")
print(*sorted(str(one.message).partition(":")[0] for one in caught), sep="; ")
print(len(runs), {entry.status for entry in runs}, sum(entry.key is not None for entry in runs))
entry = runs.sel(probe="spread").entries[0]
print(runs.load(entry)["logits"].shape)
later = tmi.load_results(SUITE, "store")
print(sorted({f"{entry.network} {entry.probe} {entry.status}" for entry in later}))
try:
    tmi.run(SUITE, "store", workers=2)
except tmi.InputError as error:
    print(error)
"""


def test_they_are_run_in_a_suite_and_what_cannot_be_kept_is_said(tmp_path):
    done = program(RUN, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "network 'mine'; probe 'spread'",
        "6 {'ok'} 1",
        "(4, 2)",
        "['mine spread missing', 'mine toy missing', 'toy spread missing', 'toy toy ok']",
        "network mine: the function 'mine' cannot be sent to other processes; register it in a plug-in file, or compute in this "
        "process (workers=1)",
    ]
