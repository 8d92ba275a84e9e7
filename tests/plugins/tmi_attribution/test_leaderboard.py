"""Skills and scores of methods, gathered from results by hand."""

import numpy as np
import pytest

import tmi
from tmi_attribution.leaderboard import MethodScores, method_scores, networks_of, ranked

from .boards import board, entry, refused, scored

NAMES = {"cnn": "trained: CNN", "theorem1": "constructed: Theorem 1"}
SKILLS = {
    "theorem1": {"saliency": 0.9, "deeplift": None, "occlusion": 0.4, "sobel": 0.3, "oracle": 1.0},
    "cnn": {"saliency": 0.1, "deeplift": 0.6, "occlusion": 0.5, "sobel": 0.3, "oracle": 1.0},
}


@pytest.fixture(scope="module")
def rows():
    return method_scores(board(SKILLS), ["methods"], NAMES)


def test_a_row_a_network_and_method(rows):
    assert [(row.network, row.method) for row in rows] == [
        (NAMES[label], method) for label in ("cnn", "theorem1") for method in SKILLS[label]
    ]
    found = {(row.network, row.method): row for row in rows}
    for label, of in SKILLS.items():
        for method, skill in of.items():
            row = found[NAMES[label], method]
            if skill is None:
                assert (row.skill, row.estimate) == (None, None)
                assert row.refused == ("MaxPool2d stands next to a ReLU",)
            else:
                assert row.skill == pytest.approx(skill)
                assert row.estimate.low <= row.skill <= row.estimate.high
                assert (row.estimate.units, row.estimate.unit) == (4, "tiles")  # of the one seed
                assert row.evaluations == 10
                assert row.refused == ()
            assert row.control == (method in ("sobel", "oracle"))


def test_methods_are_ranked_by_the_mean_over_networks_and_controls_come_last(rows):
    # deeplift 0.6 (once refused), saliency (0.9 + 0.1)/2, occlusion (0.4 + 0.5)/2.
    assert ranked(rows) == ["deeplift", "saliency", "occlusion", "oracle", "sobel"]
    none = [
        MethodScores("a", "never", refused=("x",)),
        MethodScores("a", "bad", skills=np.array([-1.0])),
        MethodScores("a", "c", True),
    ]
    assert ranked(none) == ["bad", "never", "c"]


def test_seeds_stand_one_after_another_and_a_missing_one_leaves_gaps():
    results = board(SKILLS, seeds=(0, 1))
    short = tmi.Results([e for e in results if (e.network, e.swept["method"], e.seed) != ("cnn", "saliency", 0)])
    found = networks_of(method_scores(short, ["methods"]))["cnn"]
    assert len(found["occlusion"].skills) == len(found["saliency"].skills) == 24
    assert np.isnan(found["saliency"].skills[:12]).all()
    assert found["saliency"].skill == pytest.approx(0.1)
    difference = found["saliency"].minus(found["sobel"])  # on the images that both have
    assert difference.value == pytest.approx(0.1 - 0.3)
    assert difference.high < 0
    assert found["occlusion"].by_seed == pytest.approx({0: 0.5, 1: 0.5})
    assert list(found["saliency"].by_seed) == [1]


def test_a_method_that_gave_nan_has_its_reason_and_no_skill():
    result = tmi.ProbeResult(
        {"refused": 0, "evaluations": 2}, notes=["not scored, for it gave NaN or infinity on 3 of 12 images"]
    )
    results = tmi.Results([entry("cnn", "lime", result)])
    (row,) = method_scores(results, ["methods"])
    assert row.refused == ("not scored, for it gave NaN or infinity on 3 of 12 images",)
    assert row.skill is None


def test_the_seed_is_the_unit_where_there_are_several():
    """Images of one training are alike: with five seeds the interval is that of five numbers, not of 60."""
    results = board({"cnn": {"saliency": 0.3}}, seeds=range(5), spread=0.14, noise=0.01)
    (row,) = method_scores(results, ["methods"])
    assert (row.estimate.units, row.estimate.unit) == (5, "seeds")
    assert row.skill == pytest.approx(0.3)
    assert row.estimate.high - row.skill == pytest.approx(2.7764 * 0.14 / np.sqrt(5), rel=1e-3)  # Student's t, 4 degrees


def test_a_measure_without_a_score_in_a_seed_has_none_there_and_its_images_are_counted():
    full, few = scored(0.5, method="lime"), scored(0.5, seed=1, again=3, method="lime")
    metrics, info = ({k: v for k, v in of.items() if k != "insertion"} for of in (few.metrics, few.info))
    few = tmi.ProbeResult(metrics, few.arrays, few.coords, info)
    (row,) = method_scores(tmi.Results([entry("cnn", "lime", full), entry("cnn", "lime", few, seed=1)]), ["methods"])
    assert np.isfinite(row.measures["insertion"]).tolist() == [True] * 12 + [False] * 12
    assert row.defined["insertion"] == (3, 3)
    assert row.defined["deletion"] == (12, 12)


def test_only_the_probes_asked_for():
    results = tmi.Results(
        [entry("cnn", "lime", scored(0.2)), entry("cnn", "lime", scored(0.8), probe="layers"), entry("cnn", None, refused())],
    )
    assert [row.skill for row in method_scores(results, ["layers"])] == [pytest.approx(0.8)]
    assert method_scores(results, ["nothing"]) == []
