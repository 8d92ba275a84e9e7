from __future__ import annotations

from tests.tmi.report.pages import Page
from tmi.report.summary import summary
from tmi.runs.results import Entry, Results


def results(seeds=5, networks=("a", "b", "c"), k=(None,)):
    """Network a is 1, b and c are 2 and 2.001, with a spread over the seeds of 0.1."""
    level = {"a": 1.0, "b": 2.0, "c": 2.001}
    return Results(
        [
            Entry("", "d", network, "p", seed, {"k": value}, "ok", None, {"m": level[network] + ((seed * 7) % 5) / 20, "n": seed})
            for network in networks
            for seed in range(seeds)
            for value in k
        ],
        columns={"k": "dataset"},
    )


def text(results):
    return Page(summary(results).html).text


def test_what_is_shown_is_said_and_nothing_else():
    said = text(results())
    assert "15 results: 3 networks (a, b, c) on 1 data set (d), 5 seeds; 0 failed" in said
    assert "In the first metric of each probe 3 of 3 differences between networks are shown" in said  # paired, b and c differ too
    assert "d, p, m: a lower than b (−1 [−1, −1], 5 seeds)." in said
    assert ", n:" not in said


def test_few_seeds_have_no_words():
    said = text(results(seeds=4))
    assert "4 seeds: too few to compare networks in words, which takes 5." in said
    assert "lower" not in said


def test_one_network_is_not_compared():
    assert text(results(networks=("a",))).endswith("0 missing.")


def test_swept_settings_are_said_as_they_are():
    assert "d, p (k=3), m: a lower than b" in text(results(k=(1, 3, None)))


def test_networks_with_swept_settings_are_drawn_and_not_compared():
    found = results(k=(1, 2))
    found.columns = {"k": "network"}
    assert "differences" not in text(found)


def test_what_the_list_leaves_out_is_said():
    said = Page(summary(results(k=tuple(range(20)))).html)
    assert said.tags.count("li") == 12
    assert "48 more lines are left out" in said.text
