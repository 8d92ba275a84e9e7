from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tmi
from tests.tmi.test_hashing import JSON
from tmi.hashing import canonical
from tmi.stages import Stage
from tmi.suites import keys
from tmi.suites.keys import make_key
from tmi.suites.plan import make_plan

SAME = {"name": "fashion", "code": "c0de", "params": {"k": 1}, "seed": 0, "outside": None}
UPSTREAM = {Stage.DATASET: {}, Stage.NETWORK: {Stage.DATASET: "d"}, Stage.PROBE: {Stage.DATASET: "d", Stage.NETWORK: "n"}}
CHANGES = {"name": "digits", "code": "c0df", "params": {"k": 1.0}, "seed": 1, "outside": {"sha256": "0"}}


@pytest.mark.parametrize("stage", Stage)
def test_a_key_changes_with_each_ingredient(stage):
    upstream = UPSTREAM[stage]
    changed = [make_key(stage, **(SAME | {name: value}), upstream=upstream) for name, value in CHANGES.items()]
    changed += [make_key(stage, **SAME, upstream=upstream | {name: "x"}) for name in upstream]
    assert len({make_key(stage, **SAME, upstream=upstream), *changed}) == 1 + len(CHANGES) + len(upstream)
    assert make_key(stage, **SAME, upstream=upstream) == make_key(stage, **SAME, upstream=upstream)
    assert all(len(key) == 64 for key in changed)


def test_a_key_changes_with_core_versions_and_format(monkeypatch):
    before = make_key(Stage.DATASET, **SAME, upstream={})
    for name, value in (("core_fingerprint", lambda: "x"), ("versions", lambda: {"torch": "3"}), ("FORMAT", -1)):
        with monkeypatch.context() as patched:
            patched.setattr(keys, name, value)
            assert make_key(Stage.DATASET, **SAME, upstream={}) != before
    assert make_key(Stage.DATASET, **SAME, upstream={}) == before


def test_stages_do_not_share_keys():
    assert len({make_key(stage, **SAME, upstream={}) for stage in Stage}) == 3


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_different_settings_different_keys(one, other):
    same = canonical(one) == canonical(other)
    keys_made = [make_key(Stage.DATASET, "a", "b", params, 0, {}) for params in (one, other)]
    assert (keys_made[0] == keys_made[1]) == same


# What a key depends on: the whole package is copied, files of the copy are changed, and the keys of a suite are compared.

SUITE = """
[datasets.squares]
use = "squares"
[networks.cnn]
use = "cnn"
[probes.bench]
use = "attribution-bench"
method = "integrated-gradients(steps=20)"
"""
KEYS = """
import tmi
from tmi.suites.plan import make_plan
[planned] = make_plan(tmi.load_suite("suite.toml"))
print(*planned.keys.values())
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    source = Path(tmi.__file__).parents[1]
    for package in (source / "tmi", *(source / "plugins").glob("tmi_*")):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "suite.toml").write_text(SUITE)
    return folder


def keys_of(folder):
    done = subprocess.run(
        [sys.executable, "-B", "-c", KEYS],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def unchanged(copy):
    return keys_of(copy)


def edited(copy, changes):
    """Return the keys after changes to files: pairs of a pattern and a function from a file's text to its new text."""
    before = {}
    for pattern, edit in changes:
        files = [file for file in copy.glob(pattern) if file.name != "__init__.py"]
        assert files, pattern
        for file in files:
            text = before.setdefault(file, file.read_text())
            file.write_text(edit(text))
            assert file.read_text() != text, file
    try:
        return keys_of(copy)
    finally:
        for file, text in before.items():
            file.write_text(text)


def code(text):
    return text + "\n_MORE = 1\n"


def comment(text):
    return text + "\n# more\n"


@pytest.mark.skipif(not (Path(tmi.__file__).parents[1] / "plugins").is_dir(), reason="needs a checkout")
class TestRule:
    def test_what_makes_no_numbers_changes_no_key(self, copy, unchanged):
        above = ("store", "suites", "engines", "runs", "report", "maintenance", "cli")
        changes = [(f"tmi/{package}/*.py", code) for package in above]
        assert edited(copy, [*changes, ("tmi/report/page.html.j2", comment), ("tmi/plugins/host.py", code)]) == unchanged

    def test_words_change_no_key(self, copy, unchanged):
        changes = [
            ("tmi/*/*.py", comment),
            ("tmi_*/**/*.py", comment),
            ("tmi/tasks/tiles.py", lambda text: text.replace("Definition 3.1", "the first definition")),
            ("tmi/tasks/tiles.py", lambda text: text.replace("expected a finite number above 0, got", "must be finite, but is")),
            ("tmi/tasks/task.py", lambda text: text.replace("needs at least one class", "has no class at all")),
        ]
        assert edited(copy, changes) == unchanged

    @pytest.mark.parametrize(
        "pattern",
        ["tmi/tasks/scenes.py", "tmi/tasks/matching/*.py", "tmi/networks/layers.py", "tmi/probing/*.py", "tmi/params.py"],
    )
    def test_the_core_that_makes_numbers_changes_every_key(self, copy, unchanged, pattern):
        assert not set(edited(copy, [(pattern, code)])) & set(unchanged)

    def test_a_plugin_changes_its_own_keys_and_those_after_it(self, copy, unchanged):
        dataset, network, result = edited(copy, [("tmi_networks/cnn.py", code)])
        assert dataset == unchanged[0]
        assert network != unchanged[1]
        assert result != unchanged[2]

    def test_a_method_that_a_setting_names_changes_the_result(self, copy, unchanged):
        assert edited(copy, [("*/**/methods/path.py", code)])[:2] == unchanged[:2]
        assert edited(copy, [("*/**/methods/path.py", code)])[2] != unchanged[2]


def test_a_path_in_the_text_of_a_setting_counts_as_it_is_written(tmp_path):
    """A data set in the store renders its backgrounds from that path, so that it must not be found for another one."""

    def key(folder, path, value=0):
        pictures = tmp_path / folder / path
        pictures.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), value).save(pictures / "a.png")
        (tmp_path / folder / "suite.toml").write_text(
            SUITE.replace('use = "squares"', f'''use = "squares"\nbackground = "natural(folder='{path}')"''')
        )
        (planned,) = make_plan(tmi.load_suite(tmp_path / folder / "suite.toml"))
        return planned.dataset_key

    first = key("one", "pictures")
    assert key("other", "pictures") == first  # a folder that is moved with its suite
    assert key("one", "elsewhere") != first
    assert key("one", "pictures", value=1) != first
