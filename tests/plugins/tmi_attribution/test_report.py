"""The report of suite ``attribution`` on results of chosen numbers, and its plan."""

import dataclasses
import re

import numpy as np
import pytest

import tmi
from tmi_attribution.leaderboard import Trust, standings
from tmi_attribution.rank_agreement import Agreement
from tmi_attribution.report import LAYERS, METHODS, NETWORKS, checks, in_words, sections, verdict

from .boards import board, converging, entry, refused, scored

SKILLS = {
    "theorem1": {"saliency": 0.9, "integrated-gradients": 0.8, "deeplift": None, "sobel": 0.3, "oracle": 1.0, "random": 0.0},
    "theorem1-layers": {"saliency": 0.9, "integrated-gradients": 0.8, "deeplift": 0.7, "sobel": 0.3, "oracle": 1.0},
    "theorem2": {"saliency": 0.0, "integrated-gradients": 0.8, "deeplift": None, "sobel": 0.3, "oracle": 1.0},
    "cnn": {"saliency": 0.1, "integrated-gradients": 0.5, "deeplift": 0.55, "sobel": 0.3, "oracle": 1.0, "random": 0.0},
    "cnn-max": {"saliency": -0.2, "integrated-gradients": 0.5, "deeplift": None, "sobel": 0.3, "oracle": 1.0},
}


@pytest.fixture(scope="module")
def results():
    found = board(SKILLS)
    more = [
        entry("theorem1", None, converging(), probe="convergence"),
        entry("cnn", "layer-activation", scored(0.4), probe="layers-of-maps"),
        entry("theorem1", "neuron-lrp", refused("no rule <for> it"), probe="neurons"),
    ]
    return tmi.Results([*found, *more], columns={"method": "probe"})


def text(section):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section.html.replace("data:image/png;base64", "")))


def test_every_section_is_there_and_draws(results):
    drawn = sections(results)
    assert [section.title for section in drawn] == [
        "",
        "Leaderboard",
        "The maps of all methods on one image",
        "The same function, other attributions",
        "Which measure may one trust where there is no truth?",
        "Cost against skill",
        "Integrated gradients and their closed form",
        "Layers and neurons",
    ]
    by_title = {section.title: section for section in drawn}
    for title in list(by_title)[1:-1]:
        assert "data:image/png" in by_title[title].html, title
    assert "no rule &lt;for&gt; it" in by_title["Layers and neurons"].html
    assert "Refused for the fused network, and shown for the same network as layers: deeplift" in text(drawn[2])


def test_the_answer_is_said_in_words(results):
    said = in_words(standings(results, METHODS, NETWORKS))
    assert "trained: CNN. Best: deeplift (0.55), integrated-gradients (0.50), saliency (0.10)." in said
    assert (
        "trained: CNN, max pooling. Worse than Sobel (0.30), which does not use the network: saliency (−0.20). This method "
        "says nothing about the network."
    ) in said
    assert "trained: CNN, max pooling. Refused: deeplift: MaxPool2d stands next to a ReLU." in said
    assert "constructed: Theorem 1. No method is worse than Sobel (0.30)." in said


def test_below_sobel_by_less_than_the_interval_is_said_too():
    said = in_words(standings(board({"cnn": {"far": -0.2, "near": 0.299, "sobel": 0.3}}, noise=0.1), METHODS, NETWORKS))
    assert any(
        "far (−0.20); within the interval of the difference: near (0.30). These methods say nothing" in one for one in said
    )


def test_what_only_knows_the_middle_is_a_bar_to_pass():
    said = in_words(standings(board({"cnn": {"a": 0.2, "b": 0.7, "centre-prior": 0.5}}), METHODS, NETWORKS))
    assert "trained: CNN. A prior for the middle of the image (0.50) is better than a." in said
    said = in_words(standings(board({"cnn": {"a": 0.2, "b": 0.4, "centre-prior": 0.5}}), METHODS, NETWORKS))
    assert "trained: CNN. A prior for the middle of the image (0.50) is better than every method." in said


def test_maps_that_are_0_everywhere_do_not_count_as_tight():
    silent, other = standings(board({"theorem2": {"saliency": 0.0, "lime": 0.1}}, leakage=0.75), METHODS, NETWORKS)
    unknown = {**silent.measures, "null_leakage": np.full(len(silent.skills), np.nan)}
    said = checks([dataclasses.replace(silent, zero_map=1.0, measures=unknown), other])
    assert said[0].endswith(
        "exactly 0 for none; not for lime (0.75); all maps of saliency are 0 everywhere, and score as a constant map."
    )


def test_controls_are_checked():
    skills = {"theorem1": {"oracle": 1.0, "random": 0.0, "saliency": 0.5}}
    said = checks(standings(board(skills, leakage=0), METHODS, NETWORKS))
    assert said == [
        "The oracle has skill 1 on 1 of 1 networks.",
        "The interval of a random map's skill contains 0 on 1 of 1 networks.",
        "constructed: Theorem 1. Attribution to the null region is exactly 0 for saliency.",
    ]
    wrong = {"cnn": {"oracle": 0.9, "random": 0.5, "saliency": 0.5}}
    said = checks(standings(board(wrong, leakage=0.25), METHODS, NETWORKS))
    assert said[0].endswith("on 0 of 1 networks.")
    assert said[1].endswith("on 0 of 1 networks.")
    assert said[2].endswith("exactly 0 for none; not for saliency (0.25).")


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(0.2, 0.6), (0.1, 0.9)], "ranks as the truth does on every network"),
        ([(-0.6, -0.2)], "ranks against the truth on every network"),
        ([(0.2, 0.6), (-0.6, -0.2), (-0.1, 0.3)], "as the truth does on 1, against it on 1, undecided on 1 of 3"),
        ([(-0.1, 0.1), (-0.1, 0.1)], "undecided on 2 of 2"),
        ([], "too few methods"),
    ],
)
def test_verdicts(intervals, expected):
    found = [Trust("m", "higher", str(i), Agreement((a + b) / 2, a, b, 9)) for i, (a, b) in enumerate(intervals)]
    assert verdict([*found, Trust("m", "higher", "few", None)]) == expected


def test_parts_of_the_suite_make_a_report_too(results):
    assert sections(results.select(network="nothing")) == []
    alone = [section.title for section in sections(results.select(network="cnn", probe="methods"))]
    assert "Leaderboard" in alone
    assert "The same function, other attributions" not in alone
    assert [section.title for section in sections(results.select(probe="convergence"))] == [
        "Integrated gradients and their closed form"
    ]
    only_refused = board({"cnn": {"deeplift": None}})
    assert [section.title for section in sections(only_refused)] == [""]


def test_maps_are_found_by_their_image_not_by_their_number(results):
    """A network that was asked about other images has no map to show."""
    other = tmi.Results(
        [*board({"theorem1": {"saliency": 0.5}}, seeds=(0,)), entry("cnn", "saliency", scored(0.4, seed=7))],
    )
    from tmi_attribution.report import _shown

    shown = _shown(other)
    assert (shown.image.shape, shown.mask.sum()) == ((1, 12, 12), 25)
    assert shown.maps["constructed: Theorem 1"]["saliency"].shape == (12, 12)
    assert shown.maps["trained: CNN"]["saliency"] is None
    assert (shown.of("constructed"), shown.of("trained")) == (["constructed: Theorem 1"], ["trained: CNN"])


def test_the_plan():
    suite = tmi.load_suite("attribution")
    cells = {(c.network.label, c.probe.label, c.probe.swept.get("method")) for c in suite.cells}
    assert {network for network, _, _ in cells} == set(NETWORKS)
    assert {probe for _, probe, _ in cells} == {*METHODS, *LAYERS, "accuracy", "convergence"}
    methods = {method for _, _, method in cells} - {None}
    assert methods == set(tmi.names("method"))  # every method is run somewhere
    assert ("cnn", "methods", "exact") not in cells
    assert ("theorem1", "methods", "exact") in cells
    assert {c.dataset.params["tiles_per_class"] for c in suite.cells} == {1}
    assert np.unique([c.seed for c in suite.cells]).tolist() == [0, 1]
