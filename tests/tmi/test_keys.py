from __future__ import annotations

import ast
import functools
import importlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi import PluginError, keys

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_reads_back(value):
    text = keys.canonical(value)
    assert json.loads(text) == value
    assert keys.canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2))
def test_order_of_keys_does_not_matter(value):
    assert keys.digest(value) == keys.digest(dict(reversed(value.items())))


def test_types_are_told_apart():
    assert len({keys.digest(value) for value in (1, 1.0, True, "1", [1], None, 0, False, "", [], {})}) == 11
    assert keys.digest((1, 2)) == keys.digest([1, 2])


def test_what_is_not_json():
    for value in (float("nan"), float("inf"), [float("-inf")]):
        with pytest.raises(ValueError, match="not JSON compliant"):
            keys.canonical(value)
    for value in (object(), {1, 2}, 1j, b"", {"a": object()}, {(1, 2): 3}):
        with pytest.raises(TypeError):
            keys.canonical(value)


DATASET = {"name": "fashion", "code": "c0de", "params": {"k": 1}, "seed": 0, "outside": None}
NETWORK = DATASET | {"dataset": "d"}
RESULT = NETWORK | {"network": "n"}
CHANGES = {
    "name": "digits",
    "code": "c0df",
    "params": {"k": 1.0},
    "seed": 1,
    "outside": {"sha256": "0"},
    "dataset": "e",
    "network": "m",
}


@pytest.mark.parametrize(("key", "given_"), [(keys.dataset_key, DATASET), (keys.network_key, NETWORK), (keys.result_key, RESULT)])
def test_a_key_changes_with_each_ingredient(key, given_):
    found = {key(**given_), *(key(**(given_ | {name: CHANGES[name]})) for name in given_)}
    assert len(found) == 1 + len(given_)
    assert key(**given_) == key(**given_)
    assert all(len(k) == 64 for k in found)


def test_a_key_changes_with_core_versions_and_format(monkeypatch):
    before = keys.dataset_key(**DATASET)
    for name, value in (("core_fingerprint", lambda: "x"), ("versions", lambda: {"torch": "3"}), ("FORMAT", -1)):
        with monkeypatch.context() as patched:
            patched.setattr(keys, name, value)
            assert keys.dataset_key(**DATASET) != before
    assert keys.dataset_key(**DATASET) == before


def test_kinds_do_not_share_keys():
    same = {"name": "a", "code": "b", "params": {}, "seed": 0}
    assert (
        len({keys.dataset_key(**same), keys.network_key(**same, dataset=""), keys.result_key(**same, dataset="", network="")})
        == 3
    )


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_different_settings_different_keys(one, other):
    same = keys.canonical(one) == keys.canonical(other)
    assert (keys.dataset_key("a", "b", one, 0) == keys.dataset_key("a", "b", other, 0)) == same


def test_core_fingerprint_covers_what_makes_numbers():
    assert all((keys.Path(keys.__file__).parent / f"{name}.py").exists() or name == "matching" for name in keys._CORE)
    assert len(keys.core_fingerprint()) == 64


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
        return keys.fingerprint(module)


def clear():
    for value in vars(keys).values():
        if isinstance(value, functools._lru_cache_wrapper):
            value.cache_clear()
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


def test_other_packages_count_by_version(tree, monkeypatch):
    tree.write(zzmod="import numpy.linalg\nimport sklearn.metrics\nimport PIL.Image\nimport os.path, json")
    found = keys._fingerprint("zzmod", tree.folder / "zzmod.py").content
    assert list(found["modules"]) == ["zzmod"]
    versions = keys.versions()
    assert found["packages"] == {
        "numpy": versions["numpy"],
        "sklearn": versions["scikit-learn"],
        "PIL": "pillow " + keys.metadata.version("pillow"),
    }
    before = tree.fingerprint("zzmod")
    clear()
    monkeypatch.setattr(keys, "_version", lambda top: "another")
    assert tree.fingerprint("zzmod") != before


def test_packages_of_the_system_and_the_user_count_by_version(tree):
    site = tree.folder / "lib/python3/dist-packages"
    site.mkdir(parents=True)
    (site / "zzinstalled.py").write_text("g = 1")
    sys.path.append(str(site))
    try:
        tree.write(zzmod="import zzinstalled")
        found = keys._fingerprint("zzmod", tree.folder / "zzmod.py").content
    finally:
        sys.path.remove(str(site))
    assert list(found["modules"]) == ["zzmod"]


def test_no_source(tree):
    for module in ("zznowhere", "zznowhere.sub", "math", "_json"):
        with pytest.raises(PluginError, match=r"cannot be found|no Python source"):
            keys.fingerprint(module)


def test_the_package_of_a_module_is_not_run_to_find_it(tree):
    tree.write(zzbroken__INIT="raise RuntimeError('oh')", zzbroken__part="")
    assert len(keys.fingerprint("zzbroken.part")) == 64


def test_unreadable_source_is_named(tree):
    tree.write(zzmod="import zzwrong", zzwrong="def f(:")
    with pytest.raises(PluginError, match=r"zzwrong.py: cannot be read as Python"):
        keys.fingerprint("zzmod")
    (tree.folder / "zzwrong.py").write_bytes(b"\0")
    clear()
    with pytest.raises(PluginError, match=r"zzwrong.py: cannot be read as Python"):
        keys.fingerprint("zzmod")


def test_nothing_is_run(tree):
    tree.write(zzmod="import zzloud", zzloud="raise SystemExit('was imported')")
    assert len(tree.fingerprint("zzmod")) == 64
    assert "zzmod" not in sys.modules


def test_external_marks_a_function():
    def identify(*, folder):
        return {"folder": folder}

    @keys.external(identify)
    def generator(*, seed, folder): ...

    assert generator.tmi_external is identify


def test_own_modules_can_be_fingerprinted():
    first = keys.fingerprint("tmi_probes")
    assert first == keys.fingerprint("tmi_probes")
    assert first != keys.fingerprint("tmi_networks")


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
