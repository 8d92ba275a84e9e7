"""docs/paper.md has a row for every statement, with the verdicts of its claims; ``python docs/make_paper.py`` writes it."""

import importlib.util
import re

from tests.plugins.tmi_paper.test_claims import results
from tmi_paper.claims import Claim, claims
from tmi_paper.statements import STATEMENTS

from .pages import ROOT

PAGE = ROOT / "docs" / "paper.md"


def made():
    spec = importlib.util.spec_from_file_location("make_paper", ROOT / "docs" / "make_paper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_statement_has_its_row():
    text, cell = PAGE.read_text(), made().cell
    for statement in STATEMENTS:
        row = f"| {statement.where} | {cell(statement.paper)} | {cell(statement.shown)} | "
        assert text.count(row) == 1, f"{statement.where}: run python docs/make_paper.py"
        measured = text.split(row)[1].split("\n")[0].removesuffix(" |")
        assert (measured == "–") is not bool(statement.claims), statement.where
        if statement.claims:
            assert re.search(r"\*\*(holds|does not hold)\*\*", measured)
            assert "*Criterion: " in measured


def test_the_page_has_its_figures():
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE.read_text()):
        assert (ROOT / "docs" / name).is_file(), name
    assert PAGE.read_text().count("](figures/paper-figure-") == 4


def test_rows_name_source_criterion_and_verdict():
    claim = Claim("6.2 accuracy, k = 1", "6.2", "over 99 %", "in every | seed", "0.98", False)
    ours = Claim("6.2 failing seed", "6.2", "It has a cause", "alike", "52", True, of_paper=False)
    text = made().page([claim, ours], {"full set": [claim]}, "Tiles.")
    rows = [line for line in text.split("\n") if line.startswith("| 6.2 |")]
    row = next(row for row in rows if "does not hold" in row)
    assert row.endswith(
        "| *Criterion: in every \\| seed.*<br>k = 1: 0.98: **does not hold**<br>k = 1, full set: 0.98: **does not hold**<br>"
        "*Criterion: alike.*<br>It has a cause (not a claim of the paper): 52: **holds** |"
    )
    assert all(line.count(" | ") == 3 for line in rows)


def test_todays_claims_have_their_rows_and_say_what_firing_is():
    text = made().page(claims(results(True)), {"full set": claims(results(False))}, "Tiles.")
    rows = [line for line in text.split("\n") if line.startswith("| 6.2 |") or line.startswith("| 7, interp")]
    (neurons,) = [row for row in rows if "Constructed neurons are monosemantic" in row]
    assert (
        "Classes that a neuron fires for: 4 in all 3 seeds; before training 3.5 in all 3 seeds (a neuron fires for a" in neurons
    )
    assert "full set: share of neurons that fire for one class 0.9" in neurons
    measured = [row.rpartition(" | ")[2] for row in text.split("\n") if row.startswith("| ")]
    assert sum("**holds**" in cell for cell in measured) > 25
    assert sum("**does not hold**" in cell for cell in measured) > 25
