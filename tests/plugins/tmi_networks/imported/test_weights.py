"""Weights from files: found, fitted, and refused with the safe way, which is carried out here."""

from __future__ import annotations

import pickle
import re
import shlex
import subprocess
import sys

import pytest
import torch
from torch import nn

from tmi.errors import DataFileError, InputError
from tmi_networks.imported.weights import load_weights, read

from .conftest import importing


def module():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 2))


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("holder", [None, "state_dict", "model", "ema_weights"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
def test_weights_are_found(tmp_path, holder, prefix):
    source, target = module(), nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 2))
    weights = {f"{prefix}{name}": value for name, value in source.state_dict().items()}
    torch.save(
        weights if holder is None else {"epoch": 2, holder: weights, "optimizer": {"state": {}, "lr": 0.1}}, tmp_path / "w.pt"
    )
    load_weights(target, tmp_path / "w.pt")
    assert same(source.state_dict(), target.state_dict())


def test_a_module_whose_own_names_have_the_prefix(tmp_path):
    source, target = (nn.ModuleDict({"module": module()}) for _ in range(2))
    nn.init.zeros_(target["module"][0].weight)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert same(source.state_dict(), target.state_dict())


def test_what_does_not_fit_is_named(tmp_path):
    weights = module().state_dict()
    weights["head.weight"] = weights.pop("2.weight")
    weights["0.weight"] = torch.zeros(2, 3, 3, 3)
    del weights["1.num_batches_tracked"]
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(InputError) as info:
        load_weights(module(), tmp_path / "w.pt")
    assert str(info.value) == (
        "weights: w.pt does not fit the module; missing: 2.weight; unexpected: head.weight; "
        "of another shape: 0.weight (2, 3, 3, 3), expected (2, 1, 3, 3)"
    )


def test_shared_weights_that_a_file_holds_once(tmp_path):
    from safetensors.torch import save_model

    def tied():
        result = nn.ModuleDict({"one": nn.Linear(3, 3), "two": nn.Linear(3, 3)})
        result["two"].weight = result["one"].weight
        return result

    source, target = tied(), tied()
    save_model(source, str(tmp_path / "w.safetensors"))
    load_weights(target, tmp_path / "w.safetensors")
    assert same(source.state_dict(), target.state_dict())


@pytest.mark.parametrize("name", ["checkpoint.th", pytest.param("whole.pt", marks=pytest.mark.slow)])
def test_pickled_objects_are_refused_with_a_command_that_converts_them(made, name):
    folder, modules = made
    with pytest.raises(InputError) as info:
        read(folder / name)
    message = str(info.value)
    assert "\n" not in message
    assert ("argparse.Namespace" if name == "checkpoint.th" else "resnet.") in message
    command, new = re.search(r"by python (-c .*) and give (\S+)$", message).groups()
    subprocess.run([sys.executable, *shlex.split(command)], cwd=folder, check=True)
    with importing(folder):
        import cifar_resnet
        import resnet

        target = cifar_resnet.resnet20(10, 4) if name == "checkpoint.th" else resnet.small_resnet(2, 4)
    load_weights(target, folder / new)
    source = modules["cifar" if name == "checkpoint.th" else "torchvision"]
    assert same(source.state_dict(), target.state_dict())


def test_nothing_is_run(tmp_path):
    """A pickle that would write a file when it is loaded."""

    class Trap:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",)

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Trap()))
    for name in ("trap.pt", "old.pt"):
        with pytest.raises((InputError, DataFileError)):
            read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_torchscript(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(InputError, match=r"is a TorchScript program; where it was made, write its weights by python -c") as info:
        read(tmp_path / "script.pt")
    command = re.search(r"by python (-c .*)$", str(info.value))[1]
    subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True)
    load_weights(nn.Linear(2, 2), tmp_path / "script-weights.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing of the kind", "w.pt is no file of torch.save, or damaged"),
        ([torch.zeros(2)], "w.pt holds a list, expected tensors by name"),
        ({"epoch": 3}, "w.pt holds epoch, expected tensors by name, or those under state_dict"),
    ],
)
def test_other_content(tmp_path, content, message):
    if isinstance(content, bytes):
        (tmp_path / "w.pt").write_bytes(content)
    else:
        torch.save(content, tmp_path / "w.pt")
    with pytest.raises((InputError, DataFileError), match=message):
        load_weights(module(), tmp_path / "w.pt")
    (tmp_path / "w.safetensors").write_bytes(b"no")
    with pytest.raises(DataFileError, match=r"w.safetensors is no safetensors file, or damaged"):
        load_weights(module(), tmp_path / "w.safetensors")
