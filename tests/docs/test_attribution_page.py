"""docs/make_attribution.py: its sentences and tables of results by hand, and the marks that it looks for."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.plugins.tmi_attribution.boards import board
from tmi_attribution.comparisons import trust, truth_free
from tmi_attribution.labels import METHODS, NETWORKS
from tmi_attribution.leaderboard import method_scores

from .pages import ROOT

SKILLS = {
    "theorem1": {"saliency": 1.0, "lime": 0.1, "occlusion": 0.8, "lrp": None, "sobel": 0.2},
    "cnn": {"saliency": 0.1, "lime": 0.3, "occlusion": 0.5, "lrp": 0.4, "sobel": 0.2},
    "cnn-max": {"saliency": 0.4, "lime": 0.3, "occlusion": 0.5, "lrp": 0.42, "sobel": 0.2},
}


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("make_attribution")


@pytest.fixture(scope="module")
def results():
    return board(SKILLS, seeds=range(5), spread=0.02)


def test_findings_are_the_sentences_of_the_report_by_network(made, results):
    said = list(made.findings(method_scores(results, METHODS, NETWORKS), {}))
    assert (
        said[:2]
        == [
            "- **trained: CNN**",
            "  - Highest skill: occlusion (0.50). Not shown to differ from it: no other method.",
        ]
        or said[0] == "- **constructed: Theorem 1**"
    )
    assert sum(line.startswith("- **") for line in said) == 3
    assert not any("Refused" in line for line in said)


def test_the_plain_gradient_has_a_sentence_its_seeds_and_the_differences(made, results):
    said = list(made.architectures(method_scores(results, METHODS, NETWORKS)))
    assert said[0].startswith(
        "The skill of saliency is shown to differ between trained: CNN and trained: CNN, max pooling (−0.30 ["
    )
    assert said[4].startswith("| trained: CNN | 0.10 [0.0")
    assert said[4].count(", 0.") + said[4].count(" 0.") >= 5  # seed by seed
    assert any("lower" in line for line in said[6:])


def test_trust_has_the_range_the_images_and_the_verdict(made, results):
    rows = method_scores(results, METHODS, NETWORKS)
    lines = list(made.trusted(trust(rows, truth_free(results, METHODS))))
    assert len({re.sub(r"\\\|", "", line).count("|") for line in lines}) == 1
    assert (
        "| deletion ↓ | max(a, 0) | 1.00 to 1.00 | 12 of 12 | no relation shown on 3 of 3 |" in lines
    )  # of three or four methods


def test_the_page_has_the_marks_that_the_program_looks_for():
    text = (ROOT / "docs" / "attribution.md").read_text(encoding="utf-8")
    found = re.findall(r"<!-- attribution: (\w+) -->\n.*?<!-- end -->", text, re.DOTALL)
    assert found == ["findings", "architectures", "signs", "trust", "fidelity"]
