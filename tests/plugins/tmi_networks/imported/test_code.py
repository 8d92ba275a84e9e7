"""Modules from code: what is made, with which arguments, and what is said of code that makes nothing."""

from __future__ import annotations

import sys

import pytest
from torch import nn

from tmi.errors import InputError
from tmi.params import Source
from tmi_networks.imported.code import make

CODE = """
from torch import nn
from helper import WIDTH
network = nn.Linear(2, 2)
number = 3
class Net(nn.Module):
    def __init__(self, inputs, outputs=WIDTH):
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)
class Group:
    @staticmethod
    def make():
        return Net(4)
def fails():
    raise RuntimeError("no such thing")
def nothing():
    return 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("WIDTH = 5\n")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    return tmp_path / "net.py"


def test_what_is_made(file):
    before = set(sys.modules), list(sys.path)
    net = make(Source(file, "Net"), {"inputs": 3})
    assert (net.fc.in_features, net.fc.out_features) == (3, 5)
    assert make(Source(file, "Group.make"), {}).fc.in_features == 4
    assert isinstance(make(Source(None, "torch.nn:Linear"), {"in_features": 2, "out_features": 3}), nn.Linear)
    one, other = make(Source(file, "network"), {}), make(Source(file, "network"), {})
    assert one is not other
    assert (set(sys.modules), list(sys.path)) == before
    (file.parent / "helper.py").write_text("WIDTH = 7\n")
    assert make(Source(file, "Net"), {"inputs": 3}).fc.out_features == 7


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Nett", {}, "net.py:Nett: there is no 'Nett'; did you mean \"Net\""),
        ("Net", {}, r"net.py:Net needs inputs; give them as arguments = {inputs = …}"),
        ("Net", {"input": 3}, "net.py:Net takes no 'input'; did you mean \"inputs\""),
        ("number", {}, "net.py:number is a int, and neither a function nor a class nor a module"),
        ("network", {"inputs": 3}, "net.py:network is a module already, which takes none"),
        ("fails", {}, r"net.py:fails fails \(RuntimeError: no such thing\)"),
        ("nothing", {}, "net.py:nothing gives int, expected a torch.nn.Module"),
        ("broken.py", {}, r"broken.py:x: its code cannot be imported \(ModuleNotFoundError: No module named 'nothing_of"),
        ("wrong.py", {}, r"wrong.py:x: its code cannot be imported \(SyntaxError: "),
    ],
)
def test_errors(file, name, arguments, message):
    source = Source(file.parent / name, "x") if name.endswith(".py") else Source(file, name)
    with pytest.raises(InputError, match=message) as info:
        make(source, arguments)
    assert "\n" not in str(info.value)
