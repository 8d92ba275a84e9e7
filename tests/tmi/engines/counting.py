"""A suite whose data sets and networks count how often they are made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.tmi import toys

TRAINED = '''
@tmi.hookimpl
def tmi_network_builders():
    return {"toy-net": "toys:counted", "kept-net": "toys:kept"}


def counted(data, *, seed: int, width: Count = 1) -> tmi.Network:
    """Train without tmi.train_once: the store cannot keep it."""
    import torch

    called(f"trained {seed} {width}")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    return tmi.Network(module, ["1"], "trained", task=data.task)


def kept(data, *, seed: int, width: Count = 1) -> tmi.Network:
    """Train with tmi.train_once: the store keeps it."""
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))

    def fit():
        called(f"trained {seed} {width}")
        return {"loss": [1.0]}

    history = tmi.train_once(module, fit)
    return tmi.Network(module, ["1"], "trained", task=data.task, history=history)
'''
DATASETS = ["data 0", "data 1"]
NETWORKS = [f"trained {seed} {width}" for seed in (0, 1) for width in (1, 2, 3)]


def write_suite(folder: Path, monkeypatch, builder: str, text: str = "") -> Path:
    """Write two seeds of three networks with four probes each."""
    monkeypatch.setenv("TMI_TOY_LOG", str(folder / "calls"))
    toys.plugin(folder, text=toys.TOYS + TRAINED)
    content = toys.BASE.replace('"toy-net"', f'"{builder}"\nsweep.width = [1, 2, 3]') + "sweep.scale = [1, 2, 3, 4]\n"
    return toys.suite(folder, content, head=f'plugins = ["toys.py"]\nseeds = [0, 1]\n{text}')


def counts(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return how often each data set was generated and each network trained."""
    calls = Counter(toys.calls(folder))
    return {name: calls[name] for name in DATASETS}, {name: calls[name] for name in NETWORKS}
