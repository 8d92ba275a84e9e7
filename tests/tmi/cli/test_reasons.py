from __future__ import annotations

from tmi.cli.reasons import MOST, lines
from tmi.runs.results import Entry, Results


def entry(status, network="n", method=None, message="", notes=(), probe="bench", seed=0):
    metrics = {"a": 1.0} if status == "ok" else {}
    return Entry("cell", "d", network, probe, seed, {"method": method}, status, None, metrics, message, notes=tuple(notes))


def said(entries, column="method", **more):
    return lines(Results(entries, columns={column: "probe"}), **more)


def test_methods_that_were_refused():
    entries = [
        entry("ok", method="a", notes=["refused: it needs maps"]),
        entry("ok", method="b", notes=["refused: it needs maps", "another remark"]),
        entry("ok", method="c", notes=["another remark"]),
        entry("ok", method="d", notes=["not scored, for it gave NaN"]),
        entry("ok", "other", method="a"),
    ]
    assert said(entries) == [
        "bench on n: 2 of 4 methods refused (a, b): it needs maps",
        "bench on n: 1 of 4 methods not scored (d): it gave NaN",
    ]


def test_failures_come_first_and_cells_are_counted():
    entries = [
        entry("not applicable", message="no certificate", probe="certificate", seed=seed, network=network)
        for seed in (0, 1)
        for network in ("a", "b")
    ]
    entries += [entry("ok", probe="certificate", network="c"), entry("failed", message="ValueError:\n broken", probe="x")]
    entries += [entry("missing", probe="x", seed=1)]
    assert said(entries) == [
        "x on n: 1 of 2 cells failed: ValueError: broken",
        "certificate on a, b: 4 of 4 cells not applicable: no certificate",
    ]


def test_swept_values_of_another_setting_have_its_name():
    entries = [entry("failed" if k == 1 else "ok", message="broken", probe="p") for k in (1, 2)]
    for each, k in zip(entries, (1, 2), strict=True):
        each.swept = {"k": k}
    assert said(entries, "k") == ["p on n: 1 of 2 cells failed (k 1): broken"]


def test_long_lists_are_cut():
    entries = [entry("failed", message=f"reason {i}", method=str(i)) for i in range(MOST + 3)]
    assert said(entries)[-1] == "… and 3 reasons more; --verbose prints all"
    assert len(said(entries)) == MOST + 1
    assert len(said(entries, most=None)) == MOST + 3
    (line,) = said([entry("failed", message="same", method=str(i)) for i in range(9)])
    assert line == "bench on n: 9 of 9 methods failed (0, 1, 2, 3 and 5 more): same"
    assert said([entry("ok"), entry("missing")]) == []
