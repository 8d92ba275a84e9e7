from __future__ import annotations

import ast
import functools
import importlib
import sys
from pathlib import Path

import pytest

import tmi
from tmi import PluginError
from tmi.plugins import fingerprint


def test_core_fingerprint_covers_what_makes_numbers():
    assert all((Path(tmi.__file__).parent / name).exists() for name in fingerprint.CORE)
    assert len(fingerprint.core_fingerprint()) == 64


class Tree:
    """A folder of modules on the path, and the fingerprint of one of them."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".py")
            path = path.with_name(path.name.replace("INIT", "__init__"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        clear()

    def fingerprint(self, module: str) -> str:
        return fingerprint.fingerprint(module)


def clear():
    for value in vars(fingerprint).values():
        if isinstance(value, functools._lru_cache_wrapper):
            value.cache_clear()
    fingerprint._files.clear()
    fingerprint._records.clear()
    importlib.invalidate_caches()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    clear()
    yield Tree(tmp_path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)) or name.startswith("zz"):
            del sys.modules[name]
    clear()


BASE = 'def f(x):\n    """Text."""\n    return x + 1\n'


@pytest.mark.parametrize(
    "same",
    [
        "# comment\n" + BASE,
        '"""Module text."""\n' + BASE,
        BASE.replace("Text.", "Another text."),
        BASE.replace('    """Text."""\n', ""),
        BASE.replace("x + 1", "(x  +\n            1)"),
        BASE.replace("\n", "\r\n"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tree, same):
    tree.write(zzmod=BASE)
    before = tree.fingerprint("zzmod")
    tree.write(zzmod=same)
    assert tree.fingerprint("zzmod") == before


@pytest.mark.parametrize(
    "other", [BASE.replace("+ 1", "+ 2"), BASE.replace("1", "1.0"), BASE + "y = 1\n", BASE.replace("(x)", "(x=0)"), ""]
)
def test_code_counts(tree, other):
    tree.write(zzmod=BASE)
    before = tree.fingerprint("zzmod")
    tree.write(zzmod=other)
    assert tree.fingerprint("zzmod") != before


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("from . import helper", "zzpkg__helper"),
        ("from .helper import g", "zzpkg__helper"),
        ("from . import helper as h", "zzpkg__helper"),
        ("from zzpkg.helper import g", "zzpkg__helper"),
        ("import zzpkg.helper", "zzpkg__helper"),
        ("import zzpkg.helper", "zzpkg__INIT"),
        ("from .sub.up import g", "zzpkg__helper"),
        ("from .sub.up import g", "zzpkg__far"),
        ("from . import CONSTANT", "zzpkg__INIT"),
        ("from .sub.deep import g", "zzpkg__sub__deep"),
        ("from .sub import deep", "zzpkg__sub__deep"),
        ("from .sub import *", "zzpkg__sub__INIT"),
        ("import zzbeside", "zzbeside"),
        ("from zzbeside import *", "zzbeside"),
        ("from zzother import thing", "zzother__thing"),
        ("import zzother.thing", "zzother__INIT"),
        ("from zznamespace.part import g", "zznamespace__part"),
        ("import zznamespace.part", "zznamespace__part"),
        ("from zznamespace import part", "zznamespace__part"),
        ("def f():\n    from .helper import g", "zzpkg__helper"),
        ("from .indirect import g", "zzpkg__helper"),
        ("from .dotted_name import g", "zzpkg__dotted_name"),
    ],
)
def test_a_changed_helper_counts(tree, statement, changed):
    files = {
        "zzpkg__INIT": "CONSTANT = 1",
        "zzpkg__probe": statement,
        "zzpkg__helper": "g = 1\nfrom .probe import *",  # a cycle
        "zzpkg__indirect": "from .helper import g",
        "zzpkg__dotted_name": "g = 1",
        "zzpkg__sub__INIT": "",
        "zzpkg__sub__deep": "g = 1",
        "zzpkg__sub__up": "from .. import helper\nfrom ..far import g",
        "zzpkg__far": "g = 1",
        "zzbeside": "g = 1",
        "zzother__INIT": "",
        "zzother__thing": "g = 1",
        "zznamespace__part": "g = 1",
        "zzpkg__unused": "g = 1",
    }
    tree.write(**files)
    before = tree.fingerprint("zzpkg.probe")
    tree.write(zzpkg__unused="g = 2")
    assert tree.fingerprint("zzpkg.probe") == before
    tree.write(**{changed: files[changed] + "\nh = 2"})
    assert tree.fingerprint("zzpkg.probe") != before


def test_a_folder_without_init_beside_a_file_that_is_not_on_the_path(tmp_path, tree):
    folder = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    (folder / "zzparts").mkdir(parents=True)
    (folder / "zznet.py").write_text("from zzparts.layers import g")
    (folder / "zzparts" / "layers.py").write_text("g = 1")
    before = fingerprint.fingerprint("zznet", folder / "zznet.py")
    (folder / "zzparts" / "layers.py").write_text("g = 2")
    clear()
    assert fingerprint.fingerprint("zznet", folder / "zznet.py") != before


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("import utils", "utils.py"),
        ("from utils import g", "utils.py"),
        ("from types import g", "types.py"),  # a name of the standard library
        ("import PIL.Image", "PIL/Image.py"),  # an installed package
        ("from zzparts.layers import g", "utils.py"),  # what a helper in a folder imports
        ("from zzparts.layers import g", "zzparts/layers.py"),
    ],
)
def test_a_file_beside_counts_whatever_its_name(tmp_path, tree, monkeypatch, statement, changed):
    """A folder that comes first on the path, which it is not yet when the fingerprint is taken."""
    monkeypatch.delitem(sys.modules, "utils", raising=False)  # another test may have imported one of its own
    folder = tmp_path / "elsewhere"
    tree.write(utils="other = 1")  # another module with the name of one
    for name in ("utils.py", "types.py", "PIL/__init__.py", "PIL/Image.py", "zzparts/layers.py", "tmi.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("import utils\ng = 1")
    (folder / "zznet.py").write_text(f"import tmi\n{statement}")
    clear()
    before = fingerprint.record_of("zznet", folder / "zznet.py")
    assert folder / "tmi.py" not in before.files
    (folder / changed).write_text("import utils\ng = 2")
    clear()
    assert fingerprint.fingerprint("zznet", folder / "zznet.py") != before.digest
    if "utils" in statement:
        assert set(before.content["modules"]) == {"zznet", "utils", "utils elsewhere"}
    if "PIL" in statement:
        assert "PIL" in before.content["packages"]


def test_own_code(tree):
    tree.write(zzmod="import zzbeside", zzbeside="g = 1")
    before = fingerprint.own_code("zzmod")
    assert before.modules == {name: tree.folder / f"{name}.py" for name in ("zzmod", "zzbeside")}
    assert fingerprint.own_code("zzmod", tree.folder / "zzmod.py").digest == before.digest
    (tree.folder / "zzbeside.py").write_text("g = 22")  # in this process, after it was read
    assert fingerprint.own_code("zzmod").digest != before.digest
    assert [fingerprint.own_code(name) for name in ("torch.nn", "json", "math", "zznowhere", "zznowhere.sub")] == [None] * 5


def test_other_packages_count_by_version(tree, monkeypatch):
    tree.write(zzmod="import numpy.linalg\nimport sklearn.metrics\nimport PIL.Image\nimport os.path, json")
    found = fingerprint.record_of("zzmod", tree.folder / "zzmod.py").content
    assert list(found["modules"]) == ["zzmod"]
    versions = fingerprint.versions()
    assert found["packages"] == {
        "numpy": versions["numpy"],
        "sklearn": versions["scikit-learn"],
        "PIL": "pillow " + fingerprint.metadata.version("pillow"),
    }
    before = tree.fingerprint("zzmod")
    clear()
    monkeypatch.setattr(fingerprint, "_version", lambda top: "another")
    assert tree.fingerprint("zzmod") != before


def test_packages_of_the_system_and_the_user_count_by_version(tree):
    site = tree.folder / "lib/python3/dist-packages"
    site.mkdir(parents=True)
    (site / "zzinstalled.py").write_text("g = 1")
    sys.path.append(str(site))
    try:
        tree.write(zzmod="import zzinstalled")
        found = fingerprint.record_of("zzmod", tree.folder / "zzmod.py").content
    finally:
        sys.path.remove(str(site))
    assert list(found["modules"]) == ["zzmod"]


def test_no_source(tree):
    for module in ("zznowhere", "zznowhere.sub", "math", "_json"):
        with pytest.raises(PluginError, match=r"cannot be found|no Python source"):
            fingerprint.fingerprint(module)


def test_the_package_of_a_module_is_not_run_to_find_it(tree):
    tree.write(zzbroken__INIT="raise RuntimeError('oh')", zzbroken__part="")
    assert len(fingerprint.fingerprint("zzbroken.part")) == 64


def test_unreadable_source_is_named(tree):
    tree.write(zzmod="import zzwrong", zzwrong="def f(:")
    with pytest.raises(PluginError, match=r"zzwrong.py: cannot be read as Python"):
        fingerprint.fingerprint("zzmod")
    (tree.folder / "zzwrong.py").write_bytes(b"\0")
    clear()
    with pytest.raises(PluginError, match=r"zzwrong.py: cannot be read as Python"):
        fingerprint.fingerprint("zzmod")


def test_nothing_is_run(tree):
    tree.write(zzmod="import zzloud", zzloud="raise SystemExit('was imported')")
    assert len(tree.fingerprint("zzmod")) == 64
    assert "zzmod" not in sys.modules


def test_external_marks_a_function():
    def identify(*, folder):
        return {"folder": folder}

    @fingerprint.external(identify)
    def generator(*, seed, folder): ...

    assert generator.tmi_external is identify


def test_own_modules_can_be_fingerprinted():
    first = fingerprint.fingerprint("tmi_probes")
    assert first == fingerprint.fingerprint("tmi_probes")
    assert first != fingerprint.fingerprint("tmi_networks")


def test_a_parser_that_another_thread_disturbed_is_asked_again(tree, monkeypatch):
    tree.write(zzmod="x = 1")
    expected = tree.fingerprint("zzmod")
    clear()
    real, calls = ast.parse, []

    def disturbed(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 1:
            raise SystemError("AST constructor recursion depth mismatch (before=69, after=119)")
        return real(*arguments, **settings)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert tree.fingerprint("zzmod") == expected
    assert len(calls) > 1
