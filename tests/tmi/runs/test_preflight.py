"""Each probe of a suite is tried on each of its networks, with the first seed and the first value of each sweep."""

from __future__ import annotations

import tmi
from tests.tmi import toys
from tmi.runs.preflight import preflight


def test_the_first_of_each_is_tried_on_a_few_images(tmp_path, monkeypatch):
    monkeypatch.setenv("TMI_TOY_LOG", str(tmp_path / "calls"))
    toys.plugin(tmp_path)
    text = toys.BASE.replace('use = "toy-data"', 'use = "toy-data"\nsweep.samples = [40, 50]').replace(
        'use = "toy-probe"', 'use = "toy-probe"\nsweep.scale = [2.0, 3.0]'
    )
    head = 'plugins = ["toys.py"]\nseeds = [4, 5]'
    file = toys.suite(tmp_path, f'{text}[probes.q]\nuse = "bad-probe"\n[[skip]]\nprobe = "q"\n', head=head)
    suite = tmi.load_suite(file)
    (((dataset, network), outcomes),) = preflight(suite)
    assert (dataset, network, [(outcome.name, outcome.status) for outcome in outcomes]) == ("d", "n", [("p", "runs")])
    assert toys.calls(tmp_path) == ["data 4", "net 4", "probe 4 2.0"]


def test_what_cannot_be_made_is_said_of_every_probe(tmp_path):
    toys.plugin(tmp_path)
    file = toys.suite(tmp_path, toys.BASE.replace("toy-net", "bad-net") + '[networks.m]\nuse = "toy-net"\n')
    found = dict(preflight(tmi.load_suite(file)))
    (outcome,) = found["d", "n"]
    assert str(outcome) == "p: fails: network n: ValueError: the toy is broken: raise"
    assert [outcome.status for outcome in found["d", "m"]] == ["runs"]
