from __future__ import annotations

import sys
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi import InputError, PluginError, UnknownNameError
from tmi.params import Count
from tmi.plugins import hooks as hookspecs
from tmi.plugins import host as plugins
from tmi.plugins import registry
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.registry import Registry

FULL = np.ones((2, 2), bool)


def tiny(*, seed: int, samples: Count = 3, epsilon: float = 1) -> tmi.Dataset:
    """White and black squares.

    Two lines.

    Parameters
    ----------
    samples : int
        How many.
    """
    classes = [tmi.TileClass(c, [tmi.FeatureTile(np.full((2, 2), v), epsilon, FULL)]) for c, v in (("white", 1), ("black", 0))]
    task = tmi.TemplateTask(classes, (1, 4, 4))
    scenes = tmi.Scenes.draw(task, samples, rng=np.random.default_rng(seed))
    return tmi.Dataset(task, scenes, scenes)


def flat(data: tmi.Dataset, *, seed: int, bias: bool = True) -> tmi.Network:
    return tmi.Network(nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=bias)), ["1"], "trained", task=data.task)


def noise(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
    """Draw from every global generator."""
    return tmi.ProbeResult({"torch": torch.rand(()), "numpy": np.random.random()})  # noqa: NPY002


def rubbish(*args, **kwargs):
    """Return something else."""
    return 3


@pytest.fixture
def reg():
    plugin = types.ModuleType("zz_registry")
    for hook, targets in {
        "tmi_dataset_generators": {"tiny": tiny, "rubbish": rubbish},
        "tmi_network_builders": {"flat": flat, "rubbish": rubbish},
        "tmi_probes": {"noise": noise, "rubbish": rubbish, "gone": "zz_gone:f"},
        "tmi_suites": {"demo": "package:demo.toml"},
    }.items():
        setattr(plugin, hook, tmi.hookimpl(lambda targets=targets: targets))
    host = PluginHost()
    host.add(Plugin("own", "here", plugin))
    assert host.faults == []
    return Registry(host)


def test_generate_build_probe(reg):
    data = reg.generate("tiny", seed=2, samples=5)
    assert (data.name, data.seed, data.params) == ("tiny", 2, {"samples": 5, "epsilon": 1.0})
    assert len(data.train) == 5
    network = reg.build("flat", data, seed=3, bias=False)
    assert (network.name, network.seed, network.params) == ("flat", 3, {"bias": False})
    assert isinstance(reg.probe("noise", network, data), tmi.ProbeResult)


def test_a_seed_fixes_everything_and_leaves_no_trace(reg):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = float(torch.rand(())), np.random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    data = reg.generate("tiny")
    one, same, other = (reg.build("flat", data, seed=seed).module[1].weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    network = reg.build("flat", data)
    assert reg.probe("noise", network, data, seed=1).metrics == reg.probe("noise", network, data, seed=1).metrics
    assert reg.probe("noise", network, data, seed=1).metrics != reg.probe("noise", network, data, seed=2).metrics
    assert (float(torch.rand(())), np.random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0", None, 2**63])
def test_seed(reg, seed):
    data = reg.generate("tiny")
    network = reg.build("flat", data)
    for call in (
        lambda: reg.generate("tiny", seed=seed),
        lambda: reg.build("flat", data, seed=seed),
        lambda: reg.probe("noise", network, data, seed=seed),
    ):
        with pytest.raises(InputError, match=r"^seed: expected a whole number"):
            call()


def test_unknown_names(reg):
    data = reg.generate("tiny")
    network = reg.build("flat", data)
    for call, message in (
        (lambda: reg.generate("tinny"), "dataset 'tinny' is unknown; did you mean \"tiny\"?"),
        (lambda: reg.build("falt", data), "network 'falt' is unknown; did you mean \"flat\"?"),
        (lambda: reg.probe("zzz", network, data), "probe 'zzz' is unknown; known: gone, noise, rubbish"),
        (lambda: reg.find("suite", 3), "suite 3 is unknown; known: demo"),
        (lambda: reg.names("datasets"), "kind 'datasets' is unknown; did you mean \"dataset\"?"),
    ):
        with pytest.raises(UnknownNameError) as caught:
            call()
        assert str(caught.value) == message


def test_all_problems_with_settings_at_once(reg):
    with pytest.raises(InputError) as caught:
        reg.generate("tiny", sampels=3, samples=0, epsilon="1")
    assert str(caught.value) == (
        "dataset 'tiny': sampels: 'tiny' has no such parameter; did you mean \"samples\"?; "
        "samples: expected int >= 1 (given: 0); epsilon: expected float, got str (given: '1')"
    )


def test_what_a_plugin_returns_is_checked(reg):
    data = reg.generate("tiny")
    network = reg.build("flat", data)
    for call, message in (
        (lambda: reg.generate("rubbish"), "dataset 'rubbish' of plug-in own: returned int, expected Dataset"),
        (lambda: reg.build("rubbish", data), "network 'rubbish' of plug-in own: returned int, expected Network"),
        (lambda: reg.probe("rubbish", network, data), "probe 'rubbish' of plug-in own: returned int, expected ProbeResult"),
        (lambda: reg.probe("gone", network, data), "probe 'gone' of plug-in own: cannot import 'zz_gone' (ModuleNotFoundError"),
    ):
        with pytest.raises(PluginError) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_what_a_plugin_is_given_is_checked(reg):
    data = reg.generate("tiny")
    network = reg.build("flat", data)
    with pytest.raises(InputError, match="expected a Dataset or TemplateTask, got Scenes"):
        reg.build("flat", data.train)
    with pytest.raises(InputError, match="expected a Network, got Sequential"):
        reg.probe("noise", network.module, data)
    with pytest.raises(InputError, match="expected a Dataset, got Scenes"):
        reg.probe("noise", network, data.test)


def test_describe(reg):
    assert reg.describe("dataset", "tiny") == (
        "dataset tiny\n  from plug-in own [here]\n\nWhite and black squares.\n\nTwo lines.\n\nParameters:\n"
        "  samples: int ≥ 1, default 3\n      How many.\n  epsilon: float, default 1.0"
    )
    assert reg.describe("probe", "noise").endswith("Draw from every global generator.\n\nNo parameters.")
    assert "no description" in reg.describe("network", "flat")
    with pytest.raises(PluginError, match="suite 'demo' of plug-in own"):  # its package is not there
        reg.describe("suite", "demo")


def test_a_file_is_added_to_the_installed_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert registry.with_files() is registry.with_files([]) is registry.installed()
    file = tmp_path / "zz_extra.py"
    file.write_text(
        "import tmi\n@tmi.hookimpl\ndef tmi_probes():\n    return {'zz-extra': 'zz_extra:f', 'accuracy': 'zz_extra:f'}\n"
    )
    both = registry.with_files(iter([file]))
    assert set(both.names("probe")) == {*tmi.names("probe"), "zz-extra"}
    assert "zz-extra" not in tmi.names("probe")
    assert ["probe 'accuracy' refused: the name is taken by plug-in tmi_probes" in str(fault) for fault in both.faults] == [True]


def test_a_broken_installed_plugin_is_warned_of_once(monkeypatch):
    def load():
        host = PluginHost()
        host.faults.append(plugins.Fault("bad", "is broken"))
        return host

    monkeypatch.setattr(registry, "load", load)
    registry.installed.cache_clear()
    try:
        with pytest.warns(UserWarning, match="plug-in bad: is broken"):
            tmi.names("probe")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tmi.names("probe")
    finally:
        registry.installed.cache_clear()


def test_every_hook_is_for_a_kind_and_documented():
    hooks = {name for name in vars(hookspecs) if name.startswith("tmi_")}
    assert hooks == set(plugins.KINDS.values())
    assert all(getattr(hookspecs, name).__doc__ for name in hooks)
