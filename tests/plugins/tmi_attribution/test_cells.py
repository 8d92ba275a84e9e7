"""Results of any suite with the bench, under any labels, are those of suite ``attribution`` under its own."""

import pytest

import tmi
from tmi.plugins.registry import installed
from tmi_attribution.cells import relabelled
from tmi_attribution.labels import LAYERS
from tmi_attribution.leaderboard import method_scores, networks_of
from tmi_attribution.report import sections

from .boards import board, entry, scored


def bench(network, method, seed=0, label="whatever", **settings):
    swept, dataset = {"epochs": None} | settings.pop("swept", {}), settings.pop("dataset", "fashion")
    settings = {"images": 12, "layer": None, "baseline": "black", "target": "label"} | settings
    found = scored(0.5, seed=seed, method=method)
    return entry(network, method, found, seed, label, use="attribution-bench", settings=settings, swept=swept, dataset=dataset)


def results(*entries, **columns):
    return tmi.Results(entries, columns={"method": "probe", **columns}, registry=installed())


def named(found):
    return {(one.network, one.probe, one.swept.get("method")) for one in found}


def test_the_suites_own_labels_stay():
    own = board({"cnn": {"saliency": 0.5}})
    assert relabelled(own) == (own, LAYERS)


def test_any_label_is_found_and_other_probes_are_not():
    """The report found its cells by the label ``methods``, and was silent about any other."""
    other = entry("net", None, scored(0.5), probe="methods", use="accuracy")
    found, layers = relabelled(results(bench("net", "saliency"), bench("theorem", "lime", label="mine"), other))
    assert named(found) == {("trained: net", "methods", "saliency"), ("constructed: theorem", "methods", "lime")}
    assert layers == {}
    assert "Leaderboard" in [
        section.title for section in sections(results(*(bench("net", "saliency", seed) for seed in range(3))))
    ]


def test_a_table_for_each_method_makes_one_leaderboard():
    found, _ = relabelled(results(bench("net", "saliency", label="one"), bench("net", "lime", label="two", measures=["mass"])))
    assert list(networks_of(method_scores(found, ["methods"]))["trained: net"]) == ["saliency", "lime"]


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ({"dataset": "squares"}, ("trained: net, fashion", "trained: net, squares")),
        ({"swept": {"epochs": 2}}, ("trained: net", "trained: net, epochs 2")),
        ({"baseline": "background"}, ("trained: net, baseline black", "trained: net, baseline background")),
        ({"images": 4}, ("trained: net, images 12", "trained: net, images 4")),
    ],
)
def test_what_must_not_be_mixed_stands_apart(others, names):
    """Results on two data sets, of one network and seed, replaced each other."""
    both = results(bench("net", "saliency"), bench("net", "saliency", **others), bench("theorem", "saliency"), epochs="network")
    found, _ = relabelled(both)
    assert {one.network for one in found} == {*names, "constructed: theorem"}
    assert len(method_scores(found, ["methods"])) == 3


def test_methods_of_layers_and_neurons_are_no_methods_of_pixels():
    found, layers = relabelled(
        results(
            bench("net", "saliency"),
            bench("net", "grad-cam", layer="conv"),
            bench("net", "layer-activation", layer="conv"),
            bench("net", "neuron-gradient"),
        )
    )
    assert {(probe, method) for _, probe, method in named(found)} == {
        ("methods", "saliency"),
        ("methods", "grad-cam"),
        ("layers: conv", "layer-activation"),
        ("neurons: hidden", "neuron-gradient"),
    }
    assert layers == {"layers: conv": "layer conv", "neurons: hidden": "neurons of hidden"}


def test_nothing_of_the_bench_is_no_section():
    assert sections(results(entry("net", None, scored(0.5), probe="methods", use="accuracy"))) == []
