"""Weights from files: found, fitted, and refused with the safe way, which is carried out here."""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

import tmi
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
    file = shutil.copy(folder / name, folder / f'it\'s "my" $HOME `x` {{}} {name}')
    with pytest.raises(InputError) as info:
        read(file)
    message = str(info.value)
    assert "\n" not in message
    assert ("argparse.Namespace" if name == "checkpoint.th" else "resnet.") in message
    command, new = re.search(r"by python (-c .*) and give (.+)$", message).groups()
    subprocess.run(["sh", "-c", f"{shlex.quote(sys.executable)} {command}"], cwd=folder, check=True)
    with importing(folder):
        import cifar_resnet
        import resnet

        target = cifar_resnet.resnet20(10, 4) if name == "checkpoint.th" else resnet.small_resnet(2, 4)
    load_weights(target, folder / new)
    source = modules["cifar" if name == "checkpoint.th" else "torchvision"]
    assert same(source.state_dict(), target.state_dict())


def net(dtype=torch.float32):
    return nn.Sequential(nn.Linear(3, 2, dtype=dtype), nn.BatchNorm1d(2, dtype=dtype))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda value: (value * 10).to(torch.int32), "whole numbers"),
        (lambda value: value > 0, "whole numbers"),
        (lambda value: torch.complex(value, value), "complex numbers"),
        (lambda value: value.to_sparse(), "sparse_coo real numbers"),
        (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "quantised numbers"),
    ],
)
def test_weights_of_another_kind_are_named(tmp_path, change, kind):
    weights = net().state_dict()
    torch.save({**weights, "0.weight": change(weights["0.weight"])}, tmp_path / "w.pt")
    with pytest.raises(InputError) as info:
        load_weights(net(), tmp_path / "w.pt")
    assert str(info.value) == f"weights: w.pt does not fit the module; of another kind: 0.weight {kind}, expected real numbers"


@pytest.mark.parametrize("own", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("saved", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_weights_are_not_rounded(tmp_path, own, saved):
    weights = {
        name: value.to(saved) if value.is_floating_point() else value for name, value in net(torch.float64).state_dict().items()
    }
    torch.save(weights, tmp_path / "w.pt")
    target = net(own)
    load_weights(target, tmp_path / "w.pt")
    assert all(torch.equal(value.double(), weights[name].double()) for name, value in target.state_dict().items())
    assert len({value.dtype for value in target.parameters()}) == 1


def test_an_imported_network_keeps_float64(tmp_path):
    data = tmi.generate("squares", samples=1, test_samples=4)
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))\n"
    )
    source = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, dtype=torch.float64))
    torch.save(source.state_dict(), tmp_path / "w.pt")
    for dtype in ("float64", None):
        network = tmi.build("imported", data, module=f"{tmp_path / 'net.py'}:make", weights=tmp_path / "w.pt", dtype=dtype)
        torch.testing.assert_close(
            network.logits(data.test.images), source(data.test.images.double()).detach(), rtol=1e-12, atol=0
        )


def test_a_suffix_in_capitals(tmp_path):
    from safetensors.torch import save_file

    save_file(module().state_dict(), tmp_path / "w.SAFETENSORS")
    load_weights(module(), tmp_path / "w.SAFETENSORS")


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
        ({0: torch.zeros(2)}, "w.pt holds 0, expected tensors by name, or those under state_dict"),
        ({"state_dict": {0: torch.zeros(2)}}, "w.pt holds state_dict, expected tensors by name"),
        (module().to("meta").state_dict(), "w.pt cannot be loaded into the module"),
        (b'{"model_type": "vit"}', "w.pt is no file of torch.save, or damaged"),
        (b"", "w.pt is no file of torch.save, or damaged"),
        (None, r"w.pt cannot be read as a file \(Is a directory\)"),
    ],
)
def test_other_content(tmp_path, content, message):
    if content is None:
        (tmp_path / "w.pt").mkdir()
    elif isinstance(content, bytes):
        (tmp_path / "w.pt").write_bytes(content)
    else:
        torch.save(content, tmp_path / "w.pt")
    with pytest.raises((InputError, DataFileError), match=message) as info:
        load_weights(module(), tmp_path / "w.pt")
    assert "\n" not in str(info.value)
    (tmp_path / "w.safetensors").write_bytes(b"no")
    with pytest.raises(DataFileError, match=r"w.safetensors is no safetensors file, or damaged"):
        load_weights(module(), tmp_path / "w.safetensors")
