from __future__ import annotations

import json

import tmi
from tests.tmi.cli.calls import call
from tmi.cli.common import KINDS, Kind


def test_list(folder):
    everything = call("list", "--plugin", "toys.py")
    assert [line for line in everything.stdout.splitlines() if not line.startswith(" ")] == [
        "datasets", "backgrounds", "networks", "probes", "methods", "measures", "suites", "reports",
    ]  # fmt: skip
    assert f"toy-probe Sum up the logits. [{folder / 'toys.py'}]" in " ".join(everything.stdout.split())
    probes = call("list", "probe", "--plugin", "toys.py").stdout
    assert "toy-probe" in probes
    assert "toy-data" not in probes
    assert "toy-probe" not in call("list").stdout


def test_a_plural_is_the_same():
    for kind in ("network", "report"):
        assert call("list", f"{kind}s").stdout == call("list", kind).stdout
    assert [Kind(KINDS).convert(f"{kind}s", None, None) for kind in KINDS] == list(KINDS)


def test_as_json(folder):
    rows = json.loads(call("list", "--plugin", "toys.py", "--json", "-").stdout)
    assert {(row["kind"], row["name"]) for row in rows} >= {(kind, name) for kind in KINDS for name in tmi.names(kind)}
    (toy,) = [row for row in rows if row["name"] == "toy-probe"]
    assert toy == {"kind": "probe", "name": "toy-probe", "summary": "Sum up the logits.", "plugin": str(folder / "toys.py")}
    assert call("list", "methods", "--json", "methods.json").stdout == ""
    assert {row["kind"] for row in json.loads((folder / "methods.json").read_text())} == {"method"}
