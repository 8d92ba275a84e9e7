from __future__ import annotations

import tmi
from tests.tmi.cli.calls import call
from tmi.cli.common import KINDS


def test_list_and_describe(folder):
    everything = call("list", "--plugin", "toys.py")
    assert [line for line in everything.stdout.splitlines() if not line.startswith(" ")] == [
        "datasets", "backgrounds", "networks", "probes", "methods", "measures", "suites", "reports",
    ]  # fmt: skip
    assert f"toy-probe Sum up the logits. [{folder / 'toys.py'}]" in " ".join(everything.stdout.split())
    probes = call("list", "probe", "--plugin", "toys.py").stdout
    assert "toy-probe" in probes
    assert "toy-data" not in probes
    assert "toy-probe" not in call("list").stdout
    shown = call("describe", "probe", "toy-probe", "--plugin", "toys.py").stdout
    assert "Sum up the logits." in shown
    assert "scale: float, default 1.0" in shown
    for kind in KINDS:
        for name in tmi.names(kind):
            assert name in call("describe", kind, name).stdout
