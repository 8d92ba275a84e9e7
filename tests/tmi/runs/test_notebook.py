from __future__ import annotations

import tmi
from tests.tmi import toys
from tests.tmi.runtime.test_notebook import shown as shown


def test_a_run_below_the_cell(shown, tmp_path, capsys):
    toys.plugin(tmp_path)
    results = tmi.run(toys.suite(tmp_path), tmp_path / "store")
    content = shown[0]
    assert f"0 of {len(results)} cells" in content[0]
    assert f'value="{len(results)}" max="{len(results)}"' in content[-2]
    assert content[-1].startswith("<div>1 cell computed in ")
    assert content[-1].endswith(", 0 in the store</div>")
    assert capsys.readouterr() == ("", "")
    tmi.run(toys.suite(tmp_path), tmp_path / "store")
    assert len(shown) == 1  # nothing is shown where nothing is computed


def test_a_failure_is_named_once(shown, tmp_path, capsys):
    toys.plugin(tmp_path)
    text = toys.BASE.replace('use = "toy-probe"', 'use = "bad-probe"', 1)
    results = tmi.run(toys.suite(tmp_path, text), tmp_path / "store")
    assert len(results.failed) >= 1
    assert f", {len(results.failed)} failed" in shown[0][-1]
    reasons = {entry.message for entry in results.failed}
    assert capsys.readouterr().err.count("failed: ") == len(reasons)
