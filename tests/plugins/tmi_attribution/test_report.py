"""The report of suite ``attribution`` on results of chosen numbers, and its plan."""

import re

import pytest

import tmi
from tmi_attribution.labels import LAYERS, METHODS, NETWORKS
from tmi_attribution.report import sections

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
    found = board(SKILLS, seeds=range(5), spread=0.02, untrained=0.1)
    more = [
        entry("theorem1", None, converging(), probe="convergence"),
        entry("cnn", "layer-activation", scored(0.4), probe="layers-of-maps"),
        *(
            entry(
                "cnn",
                method,
                tmi.ProbeResult(
                    {"dependence": value + seed / 100, "dependence.chance": 0.9, "signed_dependence": 1 - seed / 100}
                ),
                seed,
                "randomisation",
            )
            for method, value in (("saliency", 0.8), ("sobel", 0.0))
            for seed in range(5)
        ),
        entry("theorem1", "neuron-lrp", refused("no rule <for> it"), probe="neurons"),
    ]
    return tmi.Results([*found, *more], columns={"method": "probe"}, report="attribution")


def text(section):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub('"data:[^"]*"', '""', section.html)))


@pytest.mark.slow
def test_every_section_is_there_and_draws(results):
    drawn = sections(results)
    assert [section.title for section in drawn] == [
        "",
        "Leaderboard",
        "What training adds",
        "Does the plain gradient depend on the architecture?",
        "Signed and unsigned rankings",
        "The maps of all methods on one image",
        "The same function, other attributions",
        "Which measure may one trust where there is no truth?",
        "Do the maps depend on the weights?",
        "Cost against skill",
        "Integrated gradients and their closed form",
        "Layers and neurons",
    ]
    by_title = {section.title: section for section in drawn}
    drawings = {
        "Leaderboard",
        "Cost against skill",
        *(title for title in by_title if title.startswith(("The ", "Which", "Integr"))),
    }
    for title in drawings:
        assert "data:image/" in by_title[title].html, title
    assert by_title["Leaderboard"].html.count("<source") == 1, "a phone has a leaderboard of its own"
    assert re.search(
        r"saliency 0.82 \[0.8\d, 0.8\d\] 0.90 lower 0.98 \[0.9", text(by_title["Do the maps depend on the weights?"])
    )
    assert "no rule &lt;for&gt; it" in by_title["Layers and neurons"].html
    assert "Refused for the fused network, and shown for the same network as layers: deeplift" in text(
        by_title["The maps of all methods on one image"]
    )


@pytest.mark.slow
def test_runs_that_learnt_nothing_are_left_out_and_named(results):
    """The suite has measured accuracy all along, and read it nowhere: a seed that learnt nothing counted like the others."""
    accuracies = [
        entry("cnn", None, tmi.ProbeResult({"accuracy": 0.2 if seed == 3 else 0.95, "chance": 0.1}), seed, "accuracy")
        for seed in range(5)
    ]
    found = sections(tmi.Results([*results, *accuracies], columns={"method": "probe"}, report="attribution"))
    words = text(found[0])
    assert "Left out: trained: CNN, seed 3: the network did not learn its task" in words
    assert "Left out" not in text(sections(results)[0])
    table = next(section for section in found if section.title == "Do the maps depend on the weights?")
    assert "saliency 0.82 [0.79" in text(table)  # of the seeds 0, 1, 2 and 4: 0.8 + 0.0175


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
    from tmi_attribution.report_maps import _shown

    shown = _shown(other)
    assert (shown.image.shape, shown.mask.sum()) == ((1, 12, 12), 25)
    assert shown.maps["constructed: Theorem 1"]["saliency"].shape == (12, 12)
    assert shown.maps["trained: CNN"]["saliency"] is None
    assert (shown.of("constructed"), shown.of("trained")) == (["constructed: Theorem 1"], ["trained: CNN"])


def test_the_plan():
    suite = tmi.load_suite("attribution")
    cells = {(c.network.label, c.probe.label, c.probe.swept.get("method")) for c in suite.cells}
    assert {network for network, _, _ in cells} == set(NETWORKS)
    assert {probe for _, probe, _ in cells} >= {*METHODS, *LAYERS, "accuracy", "convergence"}
    methods = {method for _, _, method in cells} - {None}
    assert methods == set(tmi.names("method")) - {"laplace"}  # every method is run somewhere; of two filters for edges one
    assert ("cnn", "methods", "exact") not in cells
    assert ("theorem1", "methods", "exact") in cells
    assert {c.dataset.params["tiles_per_class"] for c in suite.cells} == {1}
    seeds = {
        label: {c.seed for c in suite.cells if c.network.label == label and c.probe.label == "methods"} for label in NETWORKS
    }
    assert all(len(of) >= 5 for label, of in seeds.items() if of), seeds
