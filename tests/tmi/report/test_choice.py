from __future__ import annotations

import tmi
from tmi.report.choice import main_metrics, meanings
from tmi.runs.results import Entry, Results


def entry(network="n", status="ok", info=(), **metrics):
    metrics = {name.replace("__", "."): value for name, value in metrics.items()}
    result = tmi.ProbeResult(metrics, info={name: tmi.MetricInfo(text) for name, text in info})
    return Entry("", "d", network, "p", 0, {}, status, None, metrics, _result=result)


def test_the_first_metric_of_each_measure_comes_before_the_second():
    entries = [
        entry(size__conv=1.0, size__hidden=2.0, size__chance=0.1, share=0.5, share__low=0.4),
        entry(size__conv=1.0, more__untrained=1.0, size__logits=3.0, other__x=1.0),
    ]
    assert main_metrics(entries) == ["size.conv", "share", "other.x", "size.hidden", "size.logits"]
    assert main_metrics([]) == []


def test_meanings_are_those_of_every_network():
    results = Results(
        [
            entry(a=1.0, info=[("a", "of n")]),
            entry("m", b=1.0, info=[("b", "of m")]),
            entry("m", c=1.0, info=[("c", "never read")]),
        ]
    )
    assert {name: info.text for name, info in meanings(results, "p").items()} == {"a": "of n", "b": "of m"}
    assert meanings(results, "another") == {}
