"""Every probe on networks of other forms: the plain equivalent's numbers, or one sentence."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tests import network_forms
from tests.network_forms import ANSWERS, FORMS, SETTINGS, Answering, networks, probes, result_of, verdict

QUICK = ("accuracy", "activation-sparsity", "background-robustness", "local-linear-form", "prunability", "responsible-neurons")


@pytest.fixture(scope="module")
def plain():
    data = network_forms.colour()
    return data, network_forms.trained(data)


# All others in the slow tests.
SOME = [n if i % 4 == 0 else pytest.param(n, marks=pytest.mark.slow) for i, n in enumerate(FORMS)]


@pytest.mark.parametrize("name", SOME)
def test_a_few_probes(plain, name):
    data, net = plain
    form = FORMS[name]
    given, equivalent = networks(form, net, data.task)
    for row, probe, chosen in probes():
        if row in QUICK:
            result = result_of(given, data, probe, chosen)
            found = verdict(row, form, result, result_of(equivalent, data, probe, chosen))
            assert not found.startswith("WRONG"), (row, found)
            assert found != "refused" or (result.refusal.startswith("network: ") and "\n" not in result.refusal)


WRAPPERS = [copy.deepcopy, nn.DataParallel, lambda module: torch.compile(module, backend="eager")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(ANSWERS)), st.sampled_from(QUICK), st.sampled_from(WRAPPERS))
def test_any_answer_in_any_wrapper(plain, name, probe, wrap):
    _answers(plain, name, probe, wrap)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_any_answer_and_every_probe(plain, name):
    for _, probe, _ in probes():
        # A maximum is one more operation with pieces, and DeepLift, one of the methods of `attribution`, does not know it.
        if probe not in ("attribution", "linear-regions") or "max" not in name:
            _answers(plain, name, probe, copy.deepcopy)


def _answers(plain, name, probe, wrap):
    data, net = plain
    answer, options = ANSWERS[name]
    layers = ["net.act", "net.act2", "net.fc"]
    given = tmi.Network(wrap(Answering(net, answer)), layers, "trained", task=data.task, **options)
    same = tmi.Network(Answering(net, lambda y: y), layers, "trained", task=data.task)
    chosen = SETTINGS.get(probe, {}) | ({"method": "saliency", "images": 3} if probe == "attribution-bench" else {})
    found, expected = (result_of(network, data, probe, chosen) for network in (given, same))
    assert bool(found.refusal) == bool(expected.refusal), found.refusal
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-5, abs=1e-5)


def test_a_fault_is_seen(plain):
    data, net = plain
    wrong = network_forms.Form(lambda net: network_forms.like(net, network_forms.Residual))  # another function
    given, equivalent = networks(wrong, net, data.task)
    row, probe, chosen = next(iter(probes()))
    found = verdict(row, wrong, result_of(given, data, probe, chosen), result_of(equivalent, data, probe, chosen))
    assert found.startswith("WRONG")


@pytest.mark.slow
def test_the_whole_table_and_the_page():
    verdicts, sentences = network_forms.table()
    faults = [(row, form, word) for row, cells in verdicts.items() for form, word in cells.items() if word.startswith("WRONG")]
    assert faults == []
    assert network_forms.as_markdown(verdicts, sentences) in network_forms.PAGE.read_text(encoding="utf-8")
