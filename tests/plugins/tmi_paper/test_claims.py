"""Verdicts follow the numbers: results made by hand, of which each claim holds, and of which each does not."""

import statistics

import numpy as np
import pytest
from scipy import stats

from tmi.runs.results import Entry, Results
from tmi_paper.claims import claims
from tmi_paper.claims.claim import described, estimated, ratios, tiles_from, with_interval
from tmi_paper.claims.squares import STATEMENTS
from tmi_paper.comparison import spread as comparison_spread

COLUMNS = {"filters": "network", "batch_size": "network", "tiles_per_class": "dataset", "kept": "network", "reset": "network"}


def entry(dataset, network, probe, seed=0, filters=None, batch=None, k=None, **metrics):
    names = {name.replace("__", "."): value for name, value in metrics.items()}
    swept = {"filters": filters, "batch_size": batch, "tiles_per_class": k, "kept": None, "reset": None}
    made = Entry(f"{dataset}/{network}/{probe} {seed} {swept}", dataset, network, probe, seed, swept, "ok", None, names)
    made.record = {"data": {"source": "sample"}, "network_origin": "constructed" if network.startswith("theorem") else "trained"}
    return made


def theorems(good):
    for dataset in ("squares", "fashion", "cutouts"):
        for network in ("theorem1", "theorem2"):
            k = 1 if dataset == "fashion" else None
            yield entry(
                dataset,
                network,
                "accuracy",
                k=k,
                accuracy=1.0 if good else 0.9,
                offlabel_logit_max=0.0 if good else 0.5,
                chance=0.5,
            )
            errors = {"phi_error": 1e-15 if good else 1e-3, "labels_error": 0.0}
            yield entry(dataset, network, "reference-error", k=k, **errors)
    yield entry(
        "fashion", "theorem1", "activation-sparsity", k=1, active_per_image__hidden=1.0 if good else 1.2, neurons__hidden=1690
    )
    yield entry("fashion", "theorem1", "selectivity", k=1, monosemantic__hidden=1.0 if good else 0.9)
    for name in ("theorem1", "theorem2"):
        errors = {f"reference_error__{name}": 1e-15 if good else 1e-3, "phi_error": 1e-15, "labels_error": 0.0}
        yield entry("small-cutouts", f"{name}-layers", "reference-error", **errors)
    right = 1.0 if good else 0.95
    yield entry("fashion", "theorem2-layers", "accuracy-as-layers", k=1, accuracy=right, offlabel_logit_max=0.0)


def squares(good):
    for seed in (0, 1, 2):
        yield entry("squares", "printed", "accuracy", seed, accuracy=0.957 if good else 0.97)
        shares = (
            dict.fromkeys(STATEMENTS, 0.95 if good else 0.7)
            | {"white_is_0": 1.0 if good else 0.99}
            | {f"{name}__chance": 0.5 for name in STATEMENTS}
        )
        yield entry("squares", "printed", "squares-heuristics", seed, **shares)
        yield entry("squares", "printed", "activation-sparsity", seed, zero_share__logits=0.0 if good else 0.1)
        sparse = {"zero_share__logits": 0.5, "active_per_image__hidden": 1.0 if good else 1.4, "neurons__hidden": 18}
        yield entry("squares", "theorem1", "activation-sparsity", seed, **sparse)
        for filters in (1, 4):
            high = 0.96 + 0.0005 * seed if filters == 1 else 0.995 + 0.0004 * seed
            yield entry(
                "squares",
                "trained-squares",
                "accuracy",
                seed,
                filters,
                10,
                accuracy=high if good else 0.8 + 0.001 * seed - 0.01 * filters,
            )
            active = 1.0 if good or filters == 4 or seed else 0.0
            yield entry("squares", "trained-squares", "activation-sparsity", seed, filters, 10, active_per_image__conv=active)


def fashion(good):
    for seed in (0, 1, 2):
        bad_seed = seed == 1
        yield entry("fashion", "trained", "accuracy", seed, k=1, accuracy=0.985 if bad_seed and not good else 0.999)
        sets = {"overlap": 0.1 if good else 0.01, "overlap__chance": 0.01, "size": 20, "size_share": 0.02 if good else 0.4}
        yield entry("fashion", "trained", "feature-neurons", seed, k=1, held_out=0.95, random_keeps=0.0, **sets)
        yield entry("fashion", "trained", "feature-filters", seed, k=1, held_out=0.95, random_keeps=0.0, **sets)
        known = {"tpr": 1.0 if good else 0.9, "fpr": 0.0, "overlap": 0.0}
        yield entry("fashion", "theorem1", "feature-neurons", seed, k=1, held_out=0.2, **known)
        errors = {"errors": 30 if bad_seed else 1, "least_distance": 50.0 if bad_seed else 90.0 + seed}
        yield entry("fashion", "trained", "confused-tiles", seed, k=1, nearest_share=0.9 if good else 0.2, **errors)
        yield entry(
            "fashion",
            "trained",
            "selectivity",
            seed,
            k=1,
            monosemantic__conv=0.1 if good else 0.9,
            classes_relative__conv=4.0 if good else 1.5,
            classes_relative__conv__untrained=3.5,
        )
        for what in ("background", "translation"):
            yield entry("fashion", "trained", f"{what}-robustness", seed, k=1, correct=1.0 if good else 0.98, logit_std=1.0)
            yield entry("fashion", "theorem1", f"{what}-robustness", seed, k=1, correct=1.0, logit_std=0.0 if good else 0.1)
        yield entry(
            "fashion", "trained", "variance-ratio", seed, k=1, variance_background=0.25, variance_translation=4.0,
            variance_ratio=16.0 + seed, variance_ratio_min=8.0 if good else 3.0,
        )  # fmt: skip


def discussion(good):
    for seed in (0, 1, 2):
        terms = {"reconstruction_error__units": 1e-7 if good else 1e-2, "units_90": 100 if good else 1500}
        terms |= {
            "averaging": 0.1 if good else 0.5,
            "averaging__chance": 0.03,
            "variance_sees_tile__places": 1.0 if good else 0.2,
        }
        yield entry("fashion", "trained", "logit-decomposition", seed, k=1, variance__places=1.0, **terms)
        yield entry("fashion", "theorem1", "logit-decomposition", seed, k=1, units_90=1.0)
        under = {f"accuracy_under__{kind}": 0.1 if good else 0.6 for kind in ("rotation", "scale", "texture")}
        yield entry("fashion", "theorem1", "deformation", seed, k=1, tolerated__occlusion=0.1 if good else 0.0, **under)
        yield entry("fashion", "trained", "deformation", seed, k=1, **dict.fromkeys(under, 0.7))
        lengths = {"templates__rotation": 50, "length__rotation": 49 if good else 20, "growth__rotation": 0.9}
        yield entry("fashion", "theorem1", "spectrum", seed, k=1, tolerated__rotation=0.5, **lengths)
        yield entry("fashion", "trained", "spectrum", seed, k=1, tolerated__rotation=16.0 if good else 0.5)
        covered = entry("spectrum", "theorem1", "spectrum-rotation", seed, tolerated__rotation=8.0 if good else 4.0)
        covered.record["data"] |= {"extent": 8, "templates": {"Bag": [0, 1, -1], "Coat": [0, 2]}}
        yield covered
        for dataset in ("cutouts", "spectrum"):
            yield entry(dataset, "trained", "accuracy", seed, accuracy=0.995 if good else 0.9, offlabel_logit_max=1.0)
        yield entry("fashion", "trained", "prunability", seed, k=1, weights_needed=0.3 if good else 0.8)
        for reset in ("rewind", "random"):
            for kept in (0.25, 0.1):
                ticket = entry("tickets", "ticket", "accuracy", seed, accuracy=0.99 if good else 0.9)
                ticket.swept |= {"kept": kept, "reset": reset}
                yield ticket
        yield entry("tickets", "trained", "accuracy", seed, accuracy=0.992)
        layers = {"binary_share__logits": 1.0 if good else 0.5, "zero_share__logits": 0.9}
        for layer in ("conv", "hidden"):
            layers |= {f"one_logit_share__{layer}": 1.0 if good else 0.2, f"logits_reached__{layer}": 1.0}
        yield entry("fashion", "theorem1-layers", "weight-sparsity", seed, k=1, **layers)
        blocks = {f"zero_block_share__level{i}": 0.98 for i in (1, 2)} | {"inputs_per_output__level2": 4.0 if good else 5.0}
        yield entry("fashion", "theorem2-layers", "weight-sparsity", seed, k=1, **blocks)


def results(good):
    return Results([*theorems(good), *squares(good), *fashion(good), *discussion(good)], columns=COLUMNS)


def test_each_claim_can_hold_and_can_fail():
    holding, failing = claims(results(True)), claims(results(False))
    assert [claim.key for claim in holding if not claim.holds] == []
    assert [claim.key for claim in failing if claim.holds] == []
    # Why a seed fails is a claim only where one fails.
    assert [claim.key for claim in holding] == [claim.key for claim in failing if claim.key != "6.2 failing seed"]
    assert len({claim.key for claim in holding}) == len(holding) > 45
    for claim in holding:
        assert claim.criterion
        assert claim.here
        assert claim.verdict == "holds"


@pytest.mark.parametrize("seed", range(40))
def test_any_part_of_the_results_has_claims(seed):
    """Where cells failed or were not run a claim is left out, and never held for lack of a measurement."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.1, 0.5, 0.9])
    kept = [e for e in results(False).entries if rng.random() < share]
    for e in kept:
        for name in [name for name in e.metrics if rng.random() < 0.1]:
            del e.metrics[name]
    # One seed of three failing settings may be all that is left: what holds then must hold of the values that are there.
    known = {claim.key for claim in claims(results(False))}
    assert {claim.key for claim in claims(Results(kept, columns=COLUMNS))} <= known


def test_runs_whose_activity_was_not_measured_are_left_out():
    entries = [e for e in squares(True) if e.probe != "activation-sparsity"]
    assert not any(
        claim.key.startswith(("6.1 trained", "6.1 dead", "6.1 more")) for claim in claims(Results(entries, columns=COLUMNS))
    )


def test_one_seed_has_no_interval():
    entries = [e for e in squares(True) if e.seed == 0]
    found = {claim.key: claim for claim in claims(Results(entries, columns=COLUMNS))}
    assert not found["6.1 more filters, 4 filters, batch size 10"].holds


def test_tiles_per_class_need_not_be_swept():
    entries = list(fashion(True))
    for e in entries:
        e.swept["tiles_per_class"] = None
    keys = [claim.key for claim in claims(Results(entries, columns=COLUMNS))]
    assert "6.2 variance" in keys
    assert "6.2 polysemantic" in keys


def test_one_failing_seed_is_enough():
    entries = list(fashion(True))
    accuracies = [e for e in entries if e.probe == "accuracy"]
    accuracies[2].metrics["accuracy"] = 0.99
    found = {claim.key: claim for claim in claims(Results(entries, columns=COLUMNS))}
    assert not found["6.2 accuracy, k = 1"].holds
    assert "2 of 3 seeds" in found["6.2 accuracy, k = 1"].here


def test_a_failing_seed_is_explained_by_its_tiles():
    entries = list(fashion(True))
    next(e for e in entries if e.probe == "accuracy" and e.seed == 1).metrics["accuracy"] = 0.97
    found = {claim.key: claim for claim in claims(Results(entries, columns=COLUMNS))}
    assert found["6.2 failing seed"].holds
    assert "seed 1: 30 errors, 90% of them" in found["6.2 failing seed"].here
    next(e for e in entries if e.probe == "confused-tiles" and e.seed == 0).metrics["least_distance"] = 40.0
    found = {claim.key: claim for claim in claims(Results(entries, columns=COLUMNS))}
    assert not found["6.2 failing seed"].holds


def test_dead_runs_are_left_out_of_the_mean_and_named():
    entries = list(squares(True))
    for e in entries:
        if e.network == "trained-squares" and e.seed == 0 and e.swept["filters"] == 1:
            e.metrics["accuracy" if e.probe == "accuracy" else "active_per_image.conv"] = 0.5 if e.probe == "accuracy" else 0.0
    found = {claim.key: claim for claim in claims(Results(entries, columns=COLUMNS))}
    trained, dead = found["6.1 trained, 1 filter, batch size 10"], found["6.1 dead, 1 filter, batch size 10"]
    assert trained.holds
    assert trained.here.startswith("accuracy 0.960")
    assert "1 of 3 runs are dead" in trained.here
    assert not dead.holds


def test_more_filters_need_an_interval_above():
    entries = list(squares(True))
    four = [e for e in entries if e.network == "trained-squares" and e.probe == "accuracy" and e.swept["filters"] == 4]
    four[0].metrics["accuracy"], four[1].metrics["accuracy"] = 0.9905, 0.9995
    four[2].metrics["accuracy"] = 0.9905
    found = {claim.key: claim for claim in claims(Results(entries, columns=COLUMNS))}
    assert not found["6.1 more filters, 4 filters, batch size 10"].holds  # the mean is .9935, the interval of three seeds is wide
    assert "3 of 3 seeds" in found["6.1 more filters, 4 filters, batch size 10"].here


def test_more_filters_are_compared_on_the_same_seeds():
    """Seeds that differ more than the numbers of filters do: only the paired difference shows it; Welch's test did not."""
    entries = [e for e in squares(True) if e.network == "trained-squares"]
    one, most = ({e.seed: e for e in entries if e.probe == "accuracy" and e.swept["filters"] == filters} for filters in (1, 4))
    for seed, base in ((0, 0.90), (1, 0.94), (2, 0.98)):
        one[seed].metrics["accuracy"], most[seed].metrics["accuracy"] = base, base + 0.01 + 0.001 * seed
    values = ([e.metrics["accuracy"] for e in runs.values()] for runs in (most, one))
    assert stats.ttest_ind(*values, equal_var=False).confidence_interval(0.95).low < 0
    key = "6.1 improved by filters, batch size 10"
    claim = {c.key: c for c in claims(Results(entries, columns=COLUMNS))}[key]
    low, high = stats.t.interval(0.95, 2, 0.011, stats.sem([0.01, 0.011, 0.012]))
    assert claim.holds
    assert f"difference +0.011 (+{low:.3g} to +{high:.3g}), 3 seeds. Dead runs: 0 of 3 and 0 of 3" in claim.here
    dead = next(e for e in entries if e.probe == "activation-sparsity" and e.seed == 0 and e.swept["filters"] == 1)
    dead.metrics["active_per_image.conv"] = 0.0
    assert "2 seeds. Dead runs: 1 of 3 and 0 of 3" in {c.key: c for c in claims(Results(entries, columns=COLUMNS))}[key].here


def test_the_images_of_the_tiles_are_named():
    assert tiles_from(results(True)) == "shipped sample of Fashion-MNIST"
    entries = list(fashion(True))
    for e in entries:
        e.record["data"]["source"] = "full"
    assert tiles_from(Results(entries, columns=COLUMNS)) == "full Fashion-MNIST"
    assert any("full Fashion-MNIST" in claim.here for claim in claims(Results(entries, columns=COLUMNS)))


def test_no_results_no_claims():
    assert claims(Results([], columns=COLUMNS)) == []


@pytest.mark.parametrize("seed", range(5))
def test_samples_are_described_by_their_estimates(seed):
    values = np.random.default_rng(seed).random(7).tolist()
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = estimated(values)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert f"± {statistics.stdev(values):.2g}" in described(values)
    assert "7 seeds" in described(values)
    assert f"{low:.4g} to {high:.4g}" in with_interval(values)
    assert f"± {statistics.stdev(values):.1g}" in comparison_spread(values)


def test_one_value_has_no_interval_and_ratios_are_by_seed():
    assert estimated([0.5]) is None
    assert ratios({0: 1.0, 1: 3.0, 2: 5.0}, {2: 2.0, 0: 4.0, 1: 0.0}) == [0.25, 2.5]


def test_equal_values_are_one_number():
    assert described([1.0, 1.0, 1.0]) == "1 in all 3 seeds"
    assert described([0.5], "test sets") == "0.5 (one of the test sets)"
    assert described([1200.0, 1700.0]).startswith("1450 ± 354 (2 seeds")
    assert with_interval([0.9, 1.0], share=True).endswith("0.3147 to 1")
    assert described([]) == "no value"
