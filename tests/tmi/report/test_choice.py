from __future__ import annotations

import tmi
from tmi.report.choice import main_metrics
from tmi.runs.results import Entry


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
