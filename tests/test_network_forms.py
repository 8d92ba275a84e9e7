"""Every probe on networks of other forms: the plain equivalent's numbers, or one sentence."""

from __future__ import annotations

import pytest

from tests import network_forms
from tests.network_forms import FORMS, networks, probes, result_of, verdict

QUICK = ("accuracy", "activation-sparsity", "background-robustness", "local-linear-form", "prunability", "responsible-neurons")


@pytest.fixture(scope="module")
def plain():
    data = network_forms.colour()
    return data, network_forms.trained(data)


@pytest.mark.parametrize("name", FORMS)
def test_a_few_probes(plain, name):
    data, net = plain
    form = FORMS[name]
    given, equivalent = networks(form, net, data.task)
    for row, probe, settings in probes():
        if row in QUICK:
            result = result_of(given, data, probe, settings)
            found = verdict(row, form, result, result_of(equivalent, data, probe, settings))
            assert not found.startswith("WRONG"), (row, found)
            assert found != "refused" or (result.refusal.startswith("network: ") and "\n" not in result.refusal)


def test_a_fault_is_seen(plain):
    data, net = plain
    wrong = network_forms.Form(lambda net: network_forms.like(net, network_forms.Residual))  # another function
    given, equivalent = networks(wrong, net, data.task)
    row, probe, settings = next(iter(probes()))
    found = verdict(row, wrong, result_of(given, data, probe, settings), result_of(equivalent, data, probe, settings))
    assert found.startswith("WRONG")


@pytest.mark.slow
def test_the_whole_table_and_the_page():
    verdicts, sentences = network_forms.table()
    faults = [(row, form, word) for row, cells in verdicts.items() for form, word in cells.items() if word.startswith("WRONG")]
    assert faults == []
    assert network_forms.as_markdown(verdicts, sentences) in network_forms.PAGE.read_text(encoding="utf-8")
