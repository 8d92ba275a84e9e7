"""A suite that is given as a dict may hold functions: computed, and kept if their code can be fingerprinted."""

from __future__ import annotations

import functools
import warnings

import pytest

import tmi
from tests.tmi.suites import functions
from tmi import InputError

DATA = {"use": "squares", "samples": 20, "test_samples": 20}


def run(folder, workers=1, **tables):
    suite = {"datasets": {"d": DATA}, "networks": {"n": {"use": "theorem1"}}, "probes": {"p": {"use": "accuracy"}}} | tables
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = tmi.run(suite, store=folder / "store", workers=workers)
    assert not results.failed, results.failed[0].traceback
    return list(results), [str(w.message) for w in caught]


def test_functions_that_cannot_be_fingerprinted(tmp_path):
    made = []

    def data(*, seed: int) -> tmi.Dataset:
        made.append("data")
        return tmi.generate("squares", seed=seed, samples=20)

    def net(data) -> tmi.Network:
        made.append("net")
        return tmi.build("theorem1", data)

    def probe(network, data, *, x: float = 1) -> tmi.ProbeResult:
        made.append("probe")
        return tmi.ProbeResult({"value": x})

    for _ in range(2):
        made.clear()
        entries, caught = run(
            tmp_path,
            datasets={"d": {"use": data}},
            networks={"n": {"use": net}},
            probes={
                "p": {"use": probe, "sweep": {"x": [1, 2]}},
                "q": {"use": lambda network, data: tmi.ProbeResult({"value": 3})},
            },
        )
        assert [entry.metrics["value"] for entry in entries] == [1, 2, 3]
        assert [(entry.key, entry.cached) for entry in entries] == [(None, False)] * 3
        assert made == ["data", "net", "probe", "probe"]
        told = [
            text.partition(":")[0]
            for text in caught
            if "its code cannot be fingerprinted, so what it computes is not kept" in text
        ]
        assert told == ["dataset 'data'", "network 'net'", "probe 'probe'", "probe '<lambda>'"]


def test_functions_of_one_name_are_not_confused(tmp_path):
    def closure(value):
        def probe(network, data) -> tmi.ProbeResult:
            return tmi.ProbeResult({"value": value})

        return probe

    def data(size):
        def generate(*, seed: int) -> tmi.Dataset:
            return tmi.generate("squares", seed=seed, samples=size, test_samples=5)

        return generate

    one = functions.One()
    one.value = 5
    uses = [closure(3), closure(4), functions.One.function, functions.Two.function, one.method, functions.number]
    probes = {str(number): {"use": use} for number, use in enumerate(uses)}
    for again in (False, True):
        entries, _ = run(tmp_path, probes=probes)
        assert [entry.metrics["value"] for entry in entries] == [3, 4, 1, 2, 5, 2]
        assert [entry.key is not None for entry in entries] == [False, False, True, True, False, True]
        assert [entry.cached for entry in entries] == [again and entry.key is not None for entry in entries]
    sizes = {"use": lambda network, data: tmi.ProbeResult({"value": len(data.train)})}
    entries, _ = run(tmp_path, datasets={"a": {"use": data(6)}, "b": {"use": data(7)}}, probes={"p": sizes})
    assert [entry.metrics["value"] for entry in entries] == [6, 7]


def test_a_partial_function_is_not_kept(tmp_path):
    (entry,), _ = run(tmp_path, probes={"p": {"use": functools.partial(functions.number, k=3)}})
    assert (entry.metrics["value"], entry.key) == (3, None)


def test_workers_refuse_a_function_in_one_sentence(tmp_path):
    sentence = (
        r"^probe p: the function 'number' cannot be sent to other processes; register it in a plug-in file, or compute in this"
    )
    with pytest.raises(InputError, match=sentence):
        run(tmp_path, workers=2, probes={"p": {"use": functions.number}})
    run(tmp_path, probes={"p": {"use": functions.number}})
    ((entry,), _) = run(tmp_path, workers=2, probes={"p": {"use": functions.number}})
    assert entry.cached, "what is stored needs no worker"
