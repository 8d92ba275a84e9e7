"""Modules from code: what is made, with which arguments, and what is said of code that makes nothing."""

from __future__ import annotations

import importlib
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
def leaves():
    raise SystemExit
class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(self.width, 2)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("WIDTH = 5\n")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(3)\n")
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
        ("wrong.py", {}, r"wrong.py:x: its code cannot be imported \(.*wrong.py: cannot be read as Python \(invalid"),
        ("exits.py", {}, r"exits.py:x: its code cannot be imported \(SystemExit: 3\)"),
        ("leaves", {}, r"net.py:leaves fails \(SystemExit: \)"),
        ("Broken", {}, r"net.py:Broken fails \(AttributeError: 'Broken' object has no attribute 'width'\)"),
    ],
)
def test_errors(file, name, arguments, message):
    source = Source(file.parent / name, "x") if name.endswith(".py") else Source(file, name)
    with pytest.raises(InputError, match=message) as info:
        make(source, arguments)
    assert "\n" not in str(info.value)


def width(source):
    return make(source, {}).out_features


LAYER = "from torch import nn\nfrom {module} import WIDTH\ndef make():\n    return nn.Linear(1, WIDTH)\n"


@pytest.mark.parametrize("helper", ["utils", "zzlib", "utils.inner"])
def test_the_file_beside_is_imported_although_another_has_its_name(tmp_path, monkeypatch, helper):
    """As another net's utils.py, and an installed package; both are in sys.modules, and are there again afterwards."""
    elsewhere, folder = tmp_path / "lib/site-packages", tmp_path / "mine"
    for width_, root in enumerate((elsewhere, folder), 3):
        file = root / f"{helper.replace('.', '/')}.py"
        file.parent.mkdir(parents=True)
        file.write_text(f"WIDTH = {width_}")
    (folder / "net.py").write_text(LAYER.format(module=helper))
    monkeypatch.syspath_prepend(elsewhere)
    for name in ("utils", "utils.inner", "zzlib"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    other = importlib.import_module(helper)
    assert width(Source(folder / "net.py", "make")) == 4
    assert sys.modules[helper] is other


def test_a_package_that_was_edited_since_it_was_imported(tmp_path, monkeypatch):
    (tmp_path / "zzmine").mkdir()
    (tmp_path / "zzmine" / "net.py").write_text(LAYER.format(module="zzmine.sizes"))
    (tmp_path / "zzmine" / "sizes.py").write_text("WIDTH = 3")
    monkeypatch.syspath_prepend(tmp_path)
    imported = importlib.import_module("zzmine.net")
    assert width(Source(None, "zzmine.net:make")) == 3
    (tmp_path / "zzmine" / "sizes.py").write_text("WIDTH = 4")
    assert width(Source(None, "zzmine.net:make")) == 4
    assert sys.modules["zzmine.net"] is imported
    for name in ("zzmine", "zzmine.net", "zzmine.sizes"):
        monkeypatch.delitem(sys.modules, name)


def test_packages_in_an_environment_below_the_folder_stay(tmp_path, monkeypatch):
    site = tmp_path / ".venv/lib/python3/site-packages"
    site.mkdir(parents=True)
    (site / "zzinstalled.py").write_text("WIDTH = 3")
    (tmp_path / "net.py").write_text(LAYER.format(module="zzinstalled"))
    monkeypatch.syspath_prepend(site)
    assert width(Source(tmp_path / "net.py", "make")) == 3
    kept = sys.modules["zzinstalled"]
    assert width(Source(tmp_path / "net.py", "make")) == 3
    assert sys.modules.pop("zzinstalled") is kept


LATE = """
from torch import nn
class Net(nn.Module):
    def forward(self, x):
        {statement}
        return x
"""


@pytest.mark.parametrize(
    "statement", ["import helper", "from helper import WIDTH", "import helper.more as more", "from . import helper"]
)
def test_a_forward_that_imports_a_file_of_the_folder(file, statement):
    (file.parent / "late.py").write_text(LATE.format(statement=statement))
    with pytest.raises(InputError, match=r"late.py:Net: forward imports .* \(late.py, line 5\), .*; import it at the top"):
        make(Source(file.parent / "late.py", "Net"), {})


def test_a_forward_that_imports_a_library(file):
    (file.parent / "late.py").write_text(LATE.format(statement="import math, torch.nn.functional"))
    assert make(Source(file.parent / "late.py", "Net"), {})(3) == 3


def test_the_code_runs_as_its_author_wrote_it(tmp_path):
    """Annotations are no text unless the file asks for that."""
    (tmp_path / "net.py").write_text("from torch import nn\ndef f(x: int): ...\nmake = nn.Linear(1, f.__annotations__['x'](3))\n")
    assert width(Source(tmp_path / "net.py", "make")) == 3
