"""Differences of networks and other columns, against differences written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tmi import InputError, UnknownNameError, statistics
from tmi.runs.results import Entry, Results

VALUES = {
    ("d", "a", None): [0.9, 0.8, 0.95, 0.9],
    ("d", "b", 1): [0.5, 0.55, 0.6, 0.52],
    ("d", "b", 2): [0.91, 0.78, 0.96, 0.9],
    ("e", "b", 1): [0.1, 0.1, 0.2, 0.3],
}


def results(seeds=4, values=VALUES):
    entries = [
        Entry(
            f"{dataset}/{network}/p seed {seed}",
            dataset,
            network,
            "p",
            seed,
            {"filters": filters},
            "ok",
            None,
            {"score": scores[seed], "score.chance": 0.1, "other.low": 0.0, "size.x": float(seed)},
        )
        for (dataset, network, filters), scores in values.items()
        for seed in range(seeds)
    ]
    return Results(entries, columns={"filters": "network"})


def test_differences_are_paired_by_seed_and_corrected_together():
    table = results().compare("network", reference="a", metrics="score")
    assert list(table[["dataset", "probe", "metric", "first", "second"]].itertuples(index=False, name=None)) == [
        ("d", "p", "score", "b[filters=1]", "a"),
        ("d", "p", "score", "b[filters=2]", "a"),
    ]
    wanted = [statistics.over_seeds(np.subtract(VALUES["d", "b", k], VALUES["d", "a", None])) for k in (1, 2)]
    corrected = statistics.corrected(wanted)
    assert table.difference.tolist() == pytest.approx([each.value for each in wanted])
    p = [scipy.stats.ttest_rel(VALUES["d", "b", k], VALUES["d", "a", None]).pvalue for k in (1, 2)]
    assert table.p.tolist() == pytest.approx(p)
    assert table.p_corrected.tolist() == pytest.approx([2 * p[0], p[1]])
    assert table[["low", "high"]].to_numpy().tolist() == [[each.low, each.high] for each in corrected]
    assert table.direction.tolist() == ["lower", "not shown to differ"]
    assert table.seeds.tolist() == [4, 4]


def test_rounding_of_float32_is_no_difference():
    values = {("d", "a", None): [0.9, 0.8, 0.95, 0.9, 0.7], ("d", "b", 1): [v + 1e-8 for v in (0.9, 0.8, 0.95, 0.9, 0.7)]}
    table = results(seeds=5, values=values).compare("network", metrics="score")
    assert (table.difference[0], table.p[0], table.direction[0]) == (0, 1, "not shown to differ")


def test_every_pair_without_a_reference_and_no_controls():
    table = results().compare("network")
    assert set(table.metric) == {"score", "size.x"}
    assert len(table) == 2 * 3
    assert set(table.dataset) == {"d"}, "data set e has one network"


def test_a_network_is_compared_on_data_sets():
    table = results().compare("dataset", metrics=["score"])
    assert table[["network", "filters", "first", "second"]].to_numpy().tolist() == [["b", 1, "d", "e"]]


def test_a_swept_setting_is_compared():
    table = results().compare("filters", metrics=["sc*re"])
    assert table[["network", "dataset", "first", "second", "direction"]].to_numpy().tolist() == [["b", "d", "1", "2", "lower"]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: results().compare("netwrk"), UnknownNameError, "compare: column 'netwrk' is unknown; did you mean \"network\"?"),
        (
            lambda: results().compare("network", reference="b[filters=3]"),
            UnknownNameError,
            "compare: network 'b[filters=3]' has no result to compare; did you mean \"b[filters=2]\"",
        ),
        (
            lambda: results().compare("network", metrics=["scor"]),
            UnknownNameError,
            "compare: no result has a metric 'scor'; did you",
        ),
        (
            lambda: results(seeds=1).compare("network"),
            InputError,
            "compare: an interval needs at least two seeds, and these results have",
        ),
        (
            lambda: results(values={("d", "a", None): VALUES["d", "a", None], ("e", "b", 1): VALUES["e", "b", 1]}).compare(
                "network"
            ),
            InputError,
            "compare: no two values of network have a metric in common on the same data set, probe and seed",
        ),
        (lambda: Results([]).compare("network"), InputError, "compare: no two values of network"),
    ],
)
def test_bad_input_is_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
