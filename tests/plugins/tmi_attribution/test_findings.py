"""Words follow from corrected intervals, and from nothing else."""

import dataclasses

import numpy as np
import pytest

from tmi.statistics import Estimate
from tmi_attribution.comparisons import FreeMeasure, Trust
from tmi_attribution.findings import cell, checks, in_words, left_out, on_architectures, verdict
from tmi_attribution.labels import METHODS, NETWORKS
from tmi_attribution.leaderboard import MethodScores, method_scores

from .boards import board

SEEDS = range(5)


def rows_of(skills, seeds=SEEDS, **settings):
    return method_scores(board(skills, seeds=seeds, **settings), METHODS, NETWORKS)


def test_the_answer_is_said_in_words():
    skills = {
        "cnn-max": {"saliency": -0.2, "occlusion": 0.502, "lrp": 0.5, "deeplift": None, "sobel": 0.3, "centre-prior": 0.501}
    }
    said = in_words(rows_of(skills, spread=0.02, untrained=0.4))
    assert said == [
        f"trained: CNN, max pooling. {sentence}"
        for sentence in (
            "Highest skill: occlusion (0.50). Not shown to differ from it: lrp (0.50).",
            "Compared with Sobel, which does not use the network (0.30), better: occlusion, lrp; worse: saliency.",
            "Compared with a prior for the middle of the image (0.50), worse: saliency; not shown to differ: occlusion, lrp.",
            "Compared with the same network before training, better: occlusion, lrp; worse: saliency.",
            "Refused: deeplift: MaxPool2d stands next to a ReLU.",
        )
    ]


def test_the_same_means_with_more_spread_between_seeds_show_nothing():
    """The old report said "worse than Sobel" of any smaller mean."""
    skills = {"cnn": {"saliency": 0.1, "lime": 0.05, "sobel": 0.3}}
    assert "not shown to differ: every method" in in_words(rows_of(skills, spread=0.4))[1]
    assert "worse: every method" in in_words(rows_of(skills, spread=0.01))[1]


def test_saliency_over_six_trainings_of_the_review():
    """Interval by seeds of the values that the review saw: their old interval over images was ± 0.044."""
    values = np.array([0.15, 0.40, 0.33, 0.40, 0.10, 0.13])
    found = MethodScores("cnn", "saliency", "trained", skills=values, seeds=np.arange(6), tiles=np.zeros(6)).estimate
    assert found.high - found.value == pytest.approx(2.5706 * 0.1405 / np.sqrt(6), rel=0.01)
    max_pooling = np.array([0.32, 0.25, 0.39, 0.30, 0.41, 0.27])
    rows = [
        MethodScores(name, "saliency", "trained", skills=of, seeds=np.arange(6), tiles=np.zeros(6))
        for name, of in (("cnn", values), ("max", max_pooling))
    ]
    assert on_architectures(rows) == (
        "The skill of saliency is not shown to depend on the architecture: no difference between the 1 pair of trained networks, "
        "6 seeds, is shown."
    )
    apart = [rows[0], dataclasses.replace(rows[1], skills=values + np.linspace(0.5, 0.6, 6))]
    assert on_architectures(apart).startswith("The skill of saliency is shown to differ between cnn and max (−0.55 [")
    assert on_architectures(rows[:1]) == ""


def test_two_seeds_have_no_words():
    """As layers the constructed networks run on 4 images of two seeds."""
    skills = {"theorem1-layers": {"saliency": 0.9, "lime": 0.1, "lrp": None, "sobel": 0.3, "oracle": 1.0}}
    rows = rows_of(skills, seeds=(0, 1), leakage=0.75)
    assert in_words(rows) == [
        "constructed: Theorem 1 as layers. 2 seeds, too few to compare methods.",
        "constructed: Theorem 1 as layers. Refused: lrp: MaxPool2d stands next to a ReLU.",
    ]
    assert checks(rows) == []
    two = rows_of({"cnn": {"saliency": 0.1}, "cnn-max": {"saliency": 0.4}}, seeds=(0, 1))
    assert on_architectures(two) == ""


def test_runs_that_learnt_nothing_are_named():
    assert left_out({}) == []
    assert [sentence[:37] for sentence in left_out({"trained: CNN": [1, 3], "other": [2]})] == [
        "Left out: trained: CNN, seeds 1, 3: t",
        "Left out: other, seed 2: the network ",
    ]


def test_cells_mark_what_is_shown():
    (row,) = rows_of({"cnn": {"saliency": 0.5}}, spread=0.02)
    worse = dataclasses.replace(row.estimate, value=-0.3)
    assert cell(row).startswith("0.50 [0.4")
    assert cell(row, worse).endswith(" ▼")
    assert cell(row, dataclasses.replace(worse, p=0.5)).endswith("]")
    assert cell(None) is None
    assert cell(MethodScores("a", "b", refused=("why",))) == "refused"


def test_maps_that_are_0_everywhere_do_not_count_as_tight():
    silent, other = rows_of({"theorem2": {"saliency": 0.0, "lime": 0.1}}, leakage=0.75)
    unknown = {**silent.measures, "null_leakage": np.full(len(silent.skills), np.nan)}
    said = checks([dataclasses.replace(silent, zero_map=1.0, measures=unknown), other])
    assert said[0].endswith(
        "exactly 0 for none; not for lime (0.75); all maps of saliency are 0 everywhere, and score as a constant map."
    )


def test_controls_are_checked():
    skills = {"theorem1": {"oracle": 1.0, "random": 0.0, "saliency": 0.5}}
    said = checks(rows_of(skills, leakage=0))
    assert said == [
        "The oracle has skill 1 on 1 of 1 networks.",
        "The interval of a random map's skill contains 0 on 1 of 1 networks.",
        "constructed: Theorem 1. Attribution to the null region is exactly 0 for saliency.",
    ]
    wrong = {"cnn": {"oracle": 0.9, "random": 0.5, "saliency": 0.5}}
    said = checks(rows_of(wrong, leakage=0.25))
    assert said[0].endswith("on 0 of 1 networks.")
    assert said[1].endswith("on 0 of 1 networks.")
    assert said[2].endswith("exactly 0 for none; not for saliency (0.25).")


@pytest.mark.parametrize(
    ("taus", "expected"),
    [
        ([(0.4, 0.01), (0.5, 0.04)], "ranks as the truth does on every network"),
        ([(-0.4, 0.01)], "ranks against the truth on every network"),
        ([(0.4, 0.01), (-0.4, 0.01), (0.3, 0.06)], "as the truth does on 1, against it on 1, no relation shown on 1 of 3"),
        ([(0.6, 0.2), (0.6, 0.051)], "no relation shown on 2 of 2"),
        ([(0.6, 0.01), None], "as the truth does on 1, not defined on 1 of 2"),
        ([None], "defined on too few images, or too few methods"),
    ],
)
def test_verdicts(taus, expected):
    """Of a τ and its corrected p-value, on several networks."""
    measure = FreeMeasure("m", "higher", "positive")
    found = [None if each is None else Estimate(each[0], -1, 1, each[1], 9, 5, "seeds") for each in taus]
    assert verdict([Trust(measure, str(i), each, (20, 50)) for i, each in enumerate(found)]) == expected
