from __future__ import annotations

from tests.tmi.report.test_choice import entry
from tmi.runs.results import Results


def test_meanings_are_those_of_every_network():
    results = Results(
        [
            entry(a=1.0, info=[("a", "of n")]),
            entry("m", b=1.0, info=[("b", "of m")]),
            entry("m", c=1.0, info=[("c", "never read")]),
        ]
    )
    assert {name: info.text for name, info in results.meanings("p").items()} == {"a": "of n", "b": "of m"}
    assert results.meanings("another") == {}
