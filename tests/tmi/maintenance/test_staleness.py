from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi.maintenance.staleness import Staleness


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)))
def test_any_record(value):
    staleness = Staleness(tmi.plugins.registry.installed())
    for record in (
        {"dataset": value},
        {"seed": 0, "dataset": {"name": value, "params": value, "plugin": "", "origin": value}},
        {"seed": 0, "dataset": {"name": "squares", "params": {}, "plugin": "", "origin": "", "uses": value}},
        {"seed": 0, "dataset": {"name": "squares", "params": {}, "plugin": "", "origin": "", "uses": [value]}},
    ):
        assert staleness.status("dataset", "a" * 64, record).state in ("unclear", "unreachable")


def test_a_broken_plugin(store, tmp_path):
    from tmi.plugins.component import Fault
    from tmi.plugins.host import load
    from tmi.plugins.registry import Registry

    host = load()
    host.faults.append(Fault("toys", "cannot import"))
    record = {"seed": 0, "dataset": {"name": "toy-data", "params": {}, "plugin": "toys", "origin": "toys 1.0"}}
    status = Staleness(Registry(host)).status("dataset", "a" * 64, record)
    assert (status.state, status.why) == ("unclear", "the plug-in toys is broken here")
    record["dataset"]["plugin"] = "another"
    status = Staleness(Registry(host)).status("dataset", "a" * 64, record)
    assert (status.state, status.why) == ("unclear", "made with the plug-in another of toys 1.0, which is not installed here")
    record["dataset"].update(plugin="tmi_datasets", origin=f"tmi-interp {tmi.__version__}")
    status = Staleness(Registry(host)).status("dataset", "a" * 64, record)
    assert (status.state, status.why) == ("unreachable", "no dataset toy-data is registered")
