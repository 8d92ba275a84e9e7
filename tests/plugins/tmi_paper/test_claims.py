"""Verdicts follow the numbers: results made by hand, of which each claim holds, and of which it does not."""

import statistics

import numpy as np
import pytest

from tmi.runs.results import Entry, Results
from tmi_paper.claims import claims, plain_summary
from tmi_paper.claims import spread as claims_spread
from tmi_paper.comparison import spread as comparison_spread


def entry(dataset, network, probe, seed=0, filters=None, k=None, **metrics):
    names = {name.replace("__", "."): value for name, value in metrics.items()}
    swept = {"filters": filters, "tiles_per_class": k}
    return Entry(f"{dataset}/{network}/{probe}", dataset, network, probe, seed, swept, "ok", None, names)


def results(good):
    """All that the claims look at, once as the paper has it and once not."""
    entries = []
    for dataset, k in (("squares", None), ("fashion", 1)):
        accuracy = {"accuracy": 1.0 if good else 0.9, "offlabel_logit_max": 0.0 if good else 0.5}
        entries.append(entry(dataset, "constructed", "accuracy", k=k, **accuracy))
    for seed in (0, 1):
        lucky = good or seed == 0
        entries.append(
            entry("squares", "trained-squares", "accuracy", seed, 1, accuracy=0.98 if lucky else 0.5, offlabel_logit_max=1.0)
        )
        entries.append(entry("squares", "trained-squares", "squares-heuristics", seed, 1, low_is_0=1.0 if lucky else 0.7))
    still, moved = (0.0, 1.5) if good else (0.2, 0.0)
    entries += [
        entry(
            "fashion", "constructed", "activation-sparsity", k=1,
            active_per_image__hidden=1.0 if good else 1.2, neurons__hidden=1690,
        ),
        entry("fashion", "trained-fashion", "activation-sparsity", k=1, active_per_image__hidden=30.0, neurons__hidden=64),
        entry("fashion", "trained-fashion", "accuracy", k=1, accuracy=0.999 if good else 0.98),
        entry(
            "fashion", "trained-fashion", "selectivity", k=1,
            monosemantic__hidden=0.02 if good else 1.0, classes_per_neuron__hidden=9.0 if good else 1.0,
        ),
        *(
            entry("fashion", network, f"{what}-robustness", k=1, logit_std=std)
            for network, std in (("constructed", still), ("trained-fashion", moved))
            for what in ("background", "translation")
        ),
    ]  # fmt: skip
    return Results(entries, columns={"filters": "network", "tiles_per_class": "dataset"})


VERDICTS = {
    "without error (squares)": ("yes, exactly", "no"),
    "without error (fashion)": ("yes, exactly", "no"),
    "1 trained filter solves": ("yes", "in 1 of 2 runs"),
    "mean ≤ 0.4 is 0": ("always in 2 of 2 runs", "always in 1 of 2 runs"),
    "more than 99 %": ("yes", "no"),
    "are monosemantic": ("yes, exactly", "not in every image"),
    "are polysemantic": ("yes", "not clearly"),
    "logits do not change": ("yes, exactly", "no"),
    "network's logits change": ("yes", "not in all runs"),
}


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("claim", VERDICTS)
def test_a_verdict_follows_the_numbers(claim, good):
    (found,) = [c for c in claims(results(good)) if claim in c.paper]
    assert found.verdict == VERDICTS[claim][not good]


def test_every_claim_is_looked_at():
    for good in (True, False):
        assert all(sum(name in c.paper for name in VERDICTS) == 1 for c in claims(results(good)))


def test_the_summary_follows_the_numbers():
    good, bad = (" ".join(plain_summary(results(g))) for g in (True, False))
    assert "no mistake in 2 runs, and gave wrong answers a score of exactly 0" in good
    assert "mistakes in 2 of 2 runs, and gave wrong answers a score of more than 0" in bad
    assert "0 of 2 runs with a single filter learnt nothing; the others were right on at least 98.0%" in good
    assert "1 of 2 runs with a single filter learnt nothing" in bad
    assert "uses 1 of its 1,690 hidden neurons, the learnt one 30 of 64" in good


def test_a_spread_is_an_estimate():
    """Over n seeds the deviation divides by n − 1; a single value has none."""
    values = [0.1, 0.4, 0.4, 0.9]
    assert f"± {statistics.stdev(values):.2g} " in claims_spread(values)
    assert comparison_spread(values) == f"0.45 ± {statistics.stdev(values):.1g}"
    assert "±" not in claims_spread([0.3]) + comparison_spread([0.3])


def test_spread_says_equal_values_once():
    assert claims_spread([1.0, 1.0, 1.0]) == "1 in all 3"
    assert claims_spread([0.5]) == "0.5"
    assert claims_spread([]) == "–"
    values = [0.25, 0.75]
    assert claims_spread(values) == f"0.5 ± {np.std(values, ddof=1):.2g} [0.25, 0.75]"
