"""The rule that leaves out training runs which did not learn."""

import pytest

import tmi
from tmi_attribution.learnt import LEARNT, has_learnt, learnt_runs

from .boards import board, entry, scored


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"accuracy": 0.54, "chance": 0.1}, False),
        ({"accuracy": 0.56, "chance": 0.1}, True),
        ({"accuracy": 0.1, "chance": 0.1}, False),
        ({"accuracy": 0.51}, True),
    ],
)
def test_a_run_learnt_where_its_accuracy_is_above_chance_by_more_than_half_of_what_is_possible(metrics, expected):
    assert has_learnt(metrics) is expected


def test_the_rule_is_that_of_the_other_report():
    from tmi_paper.comparison import learnt

    entries = [
        entry("cnn", None, tmi.ProbeResult({"accuracy": value / 20, "chance": 0.1}), value, "accuracy") for value in range(21)
    ]
    (theirs,) = learnt(tmi.Results(entries), "fashion").values()
    assert theirs == {each.seed: has_learnt(each.metrics) for each in entries}
    assert LEARNT == 0.5


def test_entries_of_runs_that_did_not_learn_are_left_out():
    results = board({"cnn": {"saliency": 0.5}, "theorem1": {"saliency": 1.0}}, seeds=range(3))
    accuracy = [
        entry(
            network,
            None,
            tmi.ProbeResult({"accuracy": 0.1 if (network, seed) == ("cnn", 1) else 1.0, "chance": 0.1}),
            seed,
            "accuracy",
        )
        for network in ("cnn", "theorem1")
        for seed in range(3)
    ]
    kept, seeds = learnt_runs(tmi.Results([*results, *accuracy], columns={"method": "probe"}))
    assert seeds == {"trained: CNN": [1]}
    assert [each.seed for each in kept if each.network == "cnn" and each.probe == "methods"] == [0, 2]
    assert [each.seed for each in kept if each.network == "theorem1" and each.probe == "methods"] == [0, 1, 2]
    assert kept.columns == {"method": "probe"}
    assert learnt_runs(results)[1] == {}  # not known


def test_runs_with_other_settings_stay():
    """A seed that learnt nothing in one epoch took the same seed with many epochs with it."""
    runs = [
        entry(
            "net",
            None,
            tmi.ProbeResult({"accuracy": accuracy, "chance": 0.1}),
            3,
            "right",
            use="accuracy",
            swept={"epochs": epochs},
        )
        for epochs, accuracy in ((1, 0.2), (9, 0.9))
    ]
    maps = [entry("net", "saliency", scored(0.5), 3, "mine", swept={"epochs": epochs}) for epochs in (1, 9)]
    kept, seeds = learnt_runs(tmi.Results([*runs, *maps], columns={"method": "probe", "epochs": "network"}))
    assert [(one.probe, one.swept["epochs"]) for one in kept] == [("right", 9), ("mine", 9)]
    assert seeds == {"net (epochs=1)": [3]}
