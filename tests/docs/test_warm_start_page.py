"""docs/make_warm_start.py: its two numbers by other ways, its tables, and the parts of pages that programs write."""

import importlib
import re

import numpy as np
import pytest
import torch

import tmi
from tmi_networks.theorem1 import theorem1
from tmi_networks.warm_start import dense
from tmi_probes.neurons.kept_meaning import by_design

from .pages import ROOT


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("make_warm_start")


@pytest.mark.slow
def test_room_is_what_the_sums_of_the_units_lack(made):
    data = tmi.generate("squares", seed=0, samples=1, test_samples=10)
    scenes, _, _ = by_design(data, 4, 1000, np.random.default_rng(0))
    module = dense(theorem1(data.task, realisation="literal"))
    with torch.no_grad():
        sums = module.hidden[0](module.flatten(module.conv(scenes.images)))
    nearest = -sums.masked_fill(sums > 0, -torch.inf).max(0).values
    torch.testing.assert_close(torch.from_numpy(made.room(data, 4)).float(), nearest, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_first_step_moves_a_unit_by_what_the_page_says(made):
    data = tmi.generate("squares", seed=1, samples=1, test_samples=1)
    inputs, squares, wrong = made.first_step(data)
    network = tmi.build("warm-start", data, seed=0, epochs=0)
    images, labels = data.test.images, data.test.labels
    weight = network.module.hidden[0].weight.requires_grad_()
    before = network.activations(images, "hidden")["hidden"][0]
    (torch.nn.functional.cross_entropy(network.module(images), labels) / 10).backward()
    with torch.no_grad():
        weight -= 0.003 * weight.grad
    moved = (network.activations(images, "hidden")["hidden"][0] - before)[before.argmax()]
    assert inputs == weight.shape[1]
    assert float(moved) == pytest.approx(0.003 * wrong * squares / 10, rel=1e-3)


def test_a_block_of_a_page_is_replaced(made, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: one -->\nold\n<!-- end -->\nb\n<!-- x: two -->\nkept\n<!-- end -->\n")
    made.write_block(page, "x: one", "\n\\1 new\n")
    assert page.read_text() == "a\n<!-- x: one -->\n\n\\1 new\n\n<!-- end -->\nb\n<!-- x: two -->\nkept\n<!-- end -->\n"
    with pytest.raises(ValueError, match="0 parts marked 'x: three'"):
        made.write_block(page, "x: three", "text")


@pytest.mark.parametrize(
    ("page", "marks"),
    [
        ("warm-start", {"warm-start: before", "warm-start: changes", "warm-start: sentences"}),
        ("between", {"dial: answer", "dial: directions", "dial: measures", "dial: trained"}),
        ("disguises", {"table: answer", "table: measures", "table: methods", "table: seen"}),
    ],
)
def test_pages_have_the_marks_that_the_programs_look_for(page, marks):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    found = re.findall(r"<!-- (\S+: \S+) -->\n.*?<!-- end -->", text, re.DOTALL)
    assert set(found) == marks
    assert len(found) == len(marks)
