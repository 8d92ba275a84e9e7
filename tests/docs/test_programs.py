"""The programs docs/make_*.py: each mark that they look for is on their page, and what they share writes numbers by one rule.

The four programs whose page is docs/probes.md and whose networks are trained run here with tiny settings, on a copy of the page.
"""

from __future__ import annotations

import ast
import copy
import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

import tmi
from tmi import statistics
from tmi_probes.measures.monosemanticity import tile_purity
from tmi_probes.measures.selectivity import class_selectivity

from .pages import ROOT

DOCS = ROOT / "docs"
PROGRAMS = sorted(DOCS.glob("make_*.py"))
GENERATED = ["metrics: .+", "methods", "measures", "populations"]
"""The marks that tests/docs/generated.py looks for, and that of a table which tests/benchmarks/populations.py prints."""
MARK = re.compile(r"<!-- ([^>]+?) -->\n(?:(?!<!--).)*?<!-- end -->", re.DOTALL)


@pytest.fixture
def programs(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module
    for name in [name for name in sys.modules if name == "blocks" or name.startswith("make_")]:
        del sys.modules[name]


def pattern(node: ast.expr) -> str:
    """Return a regular expression of the texts that an expression may be: any text stands where a name does."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(map(pattern, node.values))
    return ".+"


def written(program: Path) -> list[str]:
    """Return the marks that a program looks for, as regular expressions."""
    calls = [node for node in ast.walk(ast.parse(program.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [pattern(call.args[1]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "write_block"]


def marks_of(program: Path) -> list[str]:
    """Return the marks of the pages that a program names."""
    pages = set(re.findall(r"[a-z-]+\.md", program.read_text(encoding="utf-8")))
    return [mark for page in pages if (DOCS / page).exists() for mark in MARK.findall((DOCS / page).read_text(encoding="utf-8"))]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_every_mark_that_a_program_looks_for_is_on_its_page(program):
    marks = marks_of(program)
    for mark in written(program):
        assert any(re.fullmatch(mark, found) for found in marks), f"{program.name}: no part of its page is marked {mark!r}"


def test_every_part_of_a_page_is_written_by_a_program():
    known = [mark for program in PROGRAMS for mark in written(program) if mark != ".+"] + GENERATED
    for page in DOCS.glob("*.md"):
        for mark in MARK.findall(page.read_text(encoding="utf-8")):
            assert any(re.fullmatch(one, mark) for one in known), f"{page.name}: no program writes the part marked {mark!r}"


def test_a_missing_mark_is_found(tmp_path):
    program = tmp_path / "make_x.py"
    program.write_text('write_block(PAGE, "neurons: lost", "")\nwrite_block(PAGE, f"dial: {name}", "")\n')
    lost, dial = written(program)
    page = (DOCS / "probes.md").read_text(encoding="utf-8")
    assert not any(re.fullmatch(lost, mark) for mark in MARK.findall(page))
    assert re.fullmatch(dial, "dial: measures")


def test_numbers_are_written_by_one_rule(programs):
    blocks = programs("blocks")
    assert blocks.over_seeds([0.5, 0.5 + 1e-12, None, 0.5]) == "0.50 in every seed"
    assert blocks.over_seeds({0: 6000.0, 1: 6000.0}, blocks.digits) == "6,000 in every seed"
    assert blocks.over_seeds([0.5, None]) == blocks.over_seeds([]) == "–"
    assert blocks.over_seeds([0.5, 0.5 + 1e-6]) == "0.50 [0.50, 0.50]"  # not equal
    text = blocks.over_seeds([1.0, 2.0, 3.0, 2.0, 2.0], low=1.5)
    value, low, high = map(float, re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", text).groups())
    assert (value, low) == (2.0, 1.5)
    assert high == pytest.approx(2 + 2.776 * np.std([1, 2, 3, 2, 2], ddof=1) / np.sqrt(5), abs=0.006)
    assert blocks.interval(statistics.difference([1.0, 1.5, 2.0], [1.0, 1.0, 1.0])).startswith("+0.50 [-0.74, ")


def test_words_follow_from_corrected_intervals(programs):
    blocks = programs("blocks")
    base = np.arange(5) / 10
    some = {"up": base + 1 + base / 10, "down": base - 1 + base / 10, "same": base * np.array([1, -1, 1, -1, 1])}
    shown = blocks.corrected({name: statistics.difference(values, base) for name, values in some.items()})
    assert blocks.by_direction(shown) == "higher: up; lower: down; not shown to differ: same"
    assert [shown[name].p for name in some] == [
        e.p for e in statistics.corrected([statistics.difference(v, base) for v in some.values()])
    ]
    assert blocks.by_direction({}) == "higher: none; lower: none; not shown to differ: none"


def test_disguises_in_words(programs):
    made = programs("make_disguises")
    rows = {"accuracy": [0.0] * 5, "mcc": [0.0, 1e-4, 0.5, 0.5, np.nan], "auc": [0.0, 0.0, 0.0, 0.2, 0.3], "f1": [0, 0, 0, 1, 1]}
    never, *by_kind = made.seen(rows).split("\n")
    assert never == "- **Under no disguise** accuracy change."
    assert by_kind[0] == "- **The order of neurons** (`permutation`): 0 of 4 change."
    assert by_kind[1] == "- **The scale of neurons** (`rescaling`): 0 of 4 change."
    assert by_kind[2].endswith("(`split`): 1 of 4 change: mcc.")
    assert by_kind[3].endswith("(`cancelling`): 3 of 4 change: all but accuracy.")
    assert by_kind[4].endswith("(`basis`): 2 of 4 change: auc, f1.")


@pytest.mark.parametrize("seed", range(3))
def test_with_one_tile_a_class_purity_orders_neurons_as_selectivity_does(seed):
    rng = np.random.default_rng(seed)
    tile = rng.integers(0, 10, 500)
    noise = np.maximum(rng.standard_normal((500, 100)), 0)
    ranks = rankdata(class_selectivity(noise, tile)), rankdata(tile_purity(noise, tile))
    np.testing.assert_array_equal(*ranks)
    several = rankdata(class_selectivity(noise, tile // 3)), rankdata(tile_purity(noise, tile))
    assert np.corrcoef(*several)[0, 1] < 0.6


SMALL = {
    "dictionary": {"images": 12, "train_images": 40, "steps": 5, "atoms": 8, "fits": 1},
    "attack": {"images": 4, "steps": 2, "restarts": 0},
    "responsible-neurons": {"images": 3},
    "activation-patching": {"images": 4},
    "ablation": {"images": 4},
    "unit-recovery": {"images": 20, "neurons": 60},
    "superposition": {"images": 20},
}


def small(suite):
    """Return a suite of one of the programs with two seeds, little data, small networks and weak settings of its probes."""
    suite = copy.deepcopy(suite)
    suite["seeds"] = suite["seeds"][:2]
    for dataset in suite["datasets"].values():
        dataset |= {"samples": 60, "test_samples": 40, "image_size": 31}
    for network in suite["networks"].values():
        network |= {"epochs": 1, "filters": 2} if network["use"] == "cnn" else {}
    for probe in suite["probes"].values():
        probe |= SMALL.get(probe["use"], {"images": 20})
    return suite


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neurons", "causes", "radii", "dictionaries"])
def test_a_program_writes_all_its_parts(name, programs, tmp_path, monkeypatch):
    program = programs(f"make_{name}")
    page = tmp_path / "probes.md"
    shutil.copy(DOCS / "probes.md", page)
    drawn = []
    monkeypatch.setattr(program, "PAGE", page)
    monkeypatch.setattr(program, "save", lambda name, figure, dpi=110: drawn.append(name))
    run = tmi.run
    results = []

    def run_small(suite, workers):
        results.append(run(small(suite), store=tmp_path / "store"))
        return results[-1]

    monkeypatch.setattr(tmi, "run", run_small)
    program.main()
    assert not [entry for some in results for entry in some if entry.status == "failed"]
    assert drawn
    before, after = (dict(parts(text.read_text(encoding="utf-8"))) for text in (DOCS / "probes.md", page))
    marks = written(DOCS / f"make_{name}.py")
    assert {mark for mark in after if after[mark] != before[mark]} == {mark for mark in after if mark in map(unescaped, marks)}
    for mark in map(unescaped, marks):
        lines = [line for line in after[mark].split("\n") if line.startswith("|")]
        assert len(lines) > 2
        assert len({line.count(" | ") for line in lines if "---" not in line}) == 1
        assert "nan" not in after[mark]


def parts(text: str) -> list[tuple[str, str]]:
    """Return the marks of a page and what stands after each."""
    return re.findall(r"<!-- ([^>]+?) -->\n((?:(?!<!--).)*?)<!-- end -->", text, re.DOTALL)


def unescaped(expression: str) -> str:
    return expression.replace("\\", "")
