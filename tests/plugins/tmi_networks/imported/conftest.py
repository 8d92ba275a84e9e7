"""A folder with the files of users: code in two files, weights in several forms, and a small colour task."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.plugins.test_all_probes import colour as small_colour

USER_PROJECTS = Path(__file__).parents[1] / "user_projects"


@contextlib.contextmanager
def importing(folder):
    """Import the users' modules as their own programs do."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if name in ("cifar_resnet", "shortcuts", "resnet", "small_onnx"):
                del sys.modules[name]


@pytest.fixture(scope="package")
def colour():
    return small_colour(8)


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """The folder, and the modules whose weights are in its files."""
    folder = tmp_path_factory.mktemp("user") / "lab"
    shutil.copytree(USER_PROJECTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    torch.manual_seed(0)
    with importing(folder):
        import cifar_resnet
        import resnet

        cifar, torchvision = cifar_resnet.resnet20(10, 4).eval(), resnet.small_resnet(2, 4).eval()
        for module in (cifar, torchvision):
            for part in module.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.running_mean.uniform_(-0.1, 0.1)
                    part.running_var.uniform_(0.5, 2)
        prefixed = {f"module.{name}": value for name, value in cifar.state_dict().items()}
        torch.save({"epoch": 3, "args": argparse.Namespace(lr=0.1), "state_dict": prefixed}, folder / "checkpoint.th")
        torch.save({"epoch": 3, "state_dict": prefixed}, folder / "safe.th")
        torch.save(torchvision, folder / "whole.pt")
        torch.save(torchvision.state_dict(), folder / "weights.pt")
        from safetensors.torch import save_file

        save_file(torchvision.state_dict(), folder / "weights.safetensors")
        import small_onnx

        small_onnx.write(folder / "small.onnx", 2, (3, 7, 6))
    return folder, {"cifar": cifar, "torchvision": torchvision}
