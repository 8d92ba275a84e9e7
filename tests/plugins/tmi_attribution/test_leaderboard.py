"""Who stands where: gathered from results by hand."""

import numpy as np
import pytest

import tmi
from tmi_attribution.leaderboard import Standing, below_edges, networks_of, ranked, standings, trust, truth_free

from .boards import board, entry, refused, scored

NAMES = {"cnn": "trained: CNN", "theorem1": "constructed: Theorem 1"}
SKILLS = {
    "theorem1": {"saliency": 0.9, "deeplift": None, "occlusion": 0.4, "sobel": 0.3, "oracle": 1.0},
    "cnn": {"saliency": 0.1, "deeplift": 0.6, "occlusion": 0.5, "sobel": 0.3, "oracle": 1.0},
}


@pytest.fixture(scope="module")
def rows():
    return standings(board(SKILLS), ["methods"], NAMES)


def test_a_row_a_network_and_method(rows):
    assert [(row.network, row.method) for row in rows] == [
        (NAMES[label], method) for label in ("cnn", "theorem1") for method in SKILLS[label]
    ]
    found = {(row.network, row.method): row for row in rows}
    for label, of in SKILLS.items():
        for method, skill in of.items():
            row = found[NAMES[label], method]
            if skill is None:
                assert (row.skill, row.interval) == (None, None)
                assert row.refused == ("MaxPool2d stands next to a ReLU",)
            else:
                assert row.skill == pytest.approx(skill)
                assert row.interval[0] <= row.skill <= row.interval[1]
                assert row.evaluations == 10
                assert row.refused == ()
            assert row.control == (method in ("sobel", "oracle"))


def test_methods_are_ranked_by_the_mean_over_networks_and_controls_come_last(rows):
    # deeplift 0.6 (once refused), saliency (0.9 + 0.1)/2, occlusion (0.4 + 0.5)/2.
    assert ranked(rows) == ["deeplift", "saliency", "occlusion", "oracle", "sobel"]
    none = [Standing("a", "never", refused=("x",)), Standing("a", "bad", skills=np.array([-1.0])), Standing("a", "c", True)]
    assert ranked(none) == ["bad", "never", "c"]


def test_seeds_stand_one_after_another_and_a_missing_one_leaves_gaps():
    results = board(SKILLS, seeds=(0, 1))
    short = tmi.Results([e for e in results if (e.network, e.swept["method"], e.seed) != ("cnn", "saliency", 0)])
    found = networks_of(standings(short, ["methods"]))["cnn"]
    assert len(found["occlusion"].skills) == len(found["saliency"].skills) == 24
    assert np.isnan(found["saliency"].skills[:12]).all()
    assert found["saliency"].skill == pytest.approx(0.1)
    difference, between = found["saliency"].ahead_of(found["sobel"])  # on the images that both have
    assert difference == pytest.approx(0.1 - 0.3)
    assert between[1] < 0


def test_below_edges_says_who_and_how_surely():
    close = {"cnn": {"far": -0.2, "near": 0.299, "above": 0.31, "sobel": 0.3}}
    found = below_edges(standings(board(close, noise=0.1), ["methods"]))
    assert [(row.method, sure) for row, sure in found] == [("far", True), ("near", False)]
    without = {"cnn": {"far": -0.2}}
    assert below_edges(standings(board(without), ["methods"])) == []


def test_a_method_that_gave_nan_has_its_reason_and_no_skill():
    result = tmi.ProbeResult(
        {"refused": 0, "evaluations": 2}, notes=["not scored, for it gave NaN or infinity on 3 of 12 images"]
    )
    results = tmi.Results([entry("cnn", "lime", result)])
    (row,) = standings(results, ["methods"])
    assert row.refused == ("not scored, for it gave NaN or infinity on 3 of 12 images",)
    assert row.skill is None


def test_a_measure_that_is_undefined_somewhere_counts_for_no_skill_as_in_the_metric():
    result = scored(0.5)
    score = result.arrays["score"].values.copy()
    score[1, 3] = np.nan  # auc
    score[1, :3] = -5
    arrays = dict(result.arrays) | {"score": (("measure", "image"), score)}
    partly = tmi.ProbeResult(result.metrics, arrays, result.coords, result.info)
    (row,) = standings(tmi.Results([entry("cnn", "lime", partly)]), ["methods"])
    assert row.skill == pytest.approx(0.5)  # of mass alone


def test_only_the_probes_asked_for():
    results = tmi.Results(
        [entry("cnn", "lime", scored(0.2)), entry("cnn", "lime", scored(0.8), probe="layers"), entry("cnn", None, refused())],
    )
    assert [row.skill for row in standings(results, ["layers"])] == [pytest.approx(0.8)]
    assert standings(results, ["nothing"]) == []


def test_which_measures_need_no_truth_and_how_they_rank():
    results = board({"cnn": {f"m{i}": i / 10 for i in range(6)} | {"sobel": 0.99}}, noise=0.001, again=4)
    measures = truth_free(results, ["methods"])
    assert measures == {"deletion": "lower", "insertion": "higher", "infidelity": "lower"}
    found = {one.measure: one.agreement for one in trust(standings(results, ["methods"]), measures)}
    assert found["deletion"].tau == found["insertion"].tau == 1
    assert found["infidelity"].tau == -1
    assert {a.methods for a in found.values()} == {6}  # Sobel is a control


def test_too_few_methods_have_no_ranking():
    results = board({"cnn": {"a": 0.1, "b": 0.2, "c": None}})
    found = trust(standings(results, ["methods"]), truth_free(results, ["methods"]))
    assert [one.agreement for one in found] == [None] * 3
