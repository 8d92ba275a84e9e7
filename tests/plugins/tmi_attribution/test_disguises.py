"""Probe ``disguises``: attributions before and after, by hand for the gradient, and as theory says for the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tmi
from tmi.plugins.registry import installed
from tmi.probing.attribution import method_info
from tmi_attribution.disguises import METHODS, kind_of
from tmi_attribution.figures_disguises import invariance, largest
from tmi_networks.disguised import DISGUISES, disguise


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", seed=0, samples=60, test_samples=12)


@pytest.fixture(scope="module")
def trained(data):
    return tmi.build("cnn", data, seed=0, kernel=2, filters=3, hidden=4, epochs=3, batch_size=10)


def changes(result):
    values = result.arrays["change"].values.max(2)
    return {method: dict(zip(DISGUISES, row, strict=True)) for method, row in zip(result.coords["method"], values, strict=True)}


def test_every_built_in_method_that_looks_at_the_network_is_there():
    infos = {name: method_info(installed().find("method", name).function) for name in tmi.names("method")}
    own = {name for name in infos if installed().find("method", name).plugin.name == "attribution"} or set(infos)
    assert set(METHODS) <= set(infos)
    assert {name for name, info in infos.items() if name in own and not info.control and "constructed" not in info.needs} == set(
        METHODS
    )


def test_kinds():
    assert [kind_of(value) for value in (0, 1e-9, 1.1e-9, 1e-3, 1.1e-3, np.inf)] == [
        "exact",
        "exact",
        "approximate",
        "approximate",
        "changed",
        "changed",
    ]


def test_the_function_alone_and_neurons(data, trained):
    """Gradients and occlusion depend on the function alone; guided backpropagation adds up what cancels."""
    methods = ["saliency", "occlusion", "deeplift", "lrp", "guided-backprop", "grad-cam", "layer-activation", "layer-conductance"]
    result = tmi.probe("disguises", trained, data, seed=0, methods=methods, images=3)
    found = changes(result)
    for method in ("saliency", "occlusion", "deeplift", "grad-cam"):
        assert max(found[method].values()) <= 1e-12, method
    assert max(found["lrp"].values()) <= 1e-3
    assert [name for name in DISGUISES if found["guided-backprop"][name] > 1e-3] == ["cancelling"]
    assert [name for name in DISGUISES if found["layer-activation"][name] > 1e-3] == ["rescaling", "basis"]
    assert [name for name in DISGUISES if found["layer-conductance"][name] > 1e-3] == ["basis"]
    counts = {
        kind: sum(kind_of(max(row.values())) == kind for row in found.values()) for kind in ("exact", "approximate", "changed")
    }
    assert {kind: result.metrics[f"methods.{kind}"] for kind in counts} == counts
    assert all(result.metrics[f"change.{method}"] == max(row.values()) for method, row in found.items())
    assert not result.arrays["random"].values.any()


def guided(module, image, target):
    """Guided backpropagation by hand: the backward pass of each ReLU sets negative gradients to 0."""
    handles = [
        part.register_full_backward_hook(lambda _part, inputs, _outputs: (inputs[0].clamp(min=0),))
        for part in module.modules()
        if isinstance(part, torch.nn.ReLU)
    ]
    x = image[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0, target], x)
    for handle in handles:
        handle.remove()
    return gradient[0].numpy()


def test_the_change_by_hand(data, trained):
    result = tmi.probe(
        "disguises", trained, data, seed=3, methods=["guided-backprop"], disguises=["cancelling"], images=4, noise=0
    )
    number = int(np.random.SeedSequence([3, 0]).generate_state(1)[0])
    scenes = data.test[:4]
    maps = []
    for names in ([], ["cancelling"]):
        module = disguise(trained, names, seed=number)[0].module
        maps.append(np.stack([guided(module, x.double(), int(y)) for x, y in zip(scenes.images, scenes.labels, strict=True)]))
    expected = np.abs(maps[1] - maps[0]).max() / np.abs(maps[0]).max()
    assert result.metrics["change.guided-backprop"] == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01


def test_draws_differ_and_repeat(data, trained):
    settings = {"methods": ["guided-backprop", "gradient-shap(draws=3)"], "disguises": ["cancelling"], "images": 2}
    first, again = (tmi.probe("disguises", trained, data, seed=1, draws=2, **settings) for _ in range(2))
    change = first.arrays["change"].values
    assert change.shape == (2, 1, 2)
    assert change[0, 0, 0] != change[0, 0, 1]
    assert np.array_equal(change, again.arrays["change"].values)
    assert change[1].max() < 1e-12  # it draws the same points before and after
    assert first.arrays["random"].values.tolist() == [False, True]


def test_at_the_kinks_rounding_decides(data):
    """Where tiles are pasted exactly, the gradient of Theorem 2 is that of a kink."""
    network = tmi.build("theorem2", data)
    settings = {"methods": ["saliency"], "images": 8, "draws": 5, "disguises": ["basis"]}
    at, away = (tmi.probe("disguises", network, data, seed=0, noise=noise, **settings) for noise in (0.0, 0.001))
    assert at.metrics["change.saliency"] > 0.1
    assert away.metrics["change.saliency"] <= 1e-12


@pytest.mark.parametrize("of", ["theorem1", "theorem2"])
def test_not_applicable_to_a_network_without_neurons_of_its_own(data, of):
    result = tmi.probe("disguises", tmi.build(of, data, realisation="fused"), data)
    assert not result.applicable
    assert "TileMatch" in result.notes[0]


def test_refused_methods_are_named(data):
    result = tmi.probe("disguises", tmi.build("theorem2", data), data, methods=["lrp", "saliency"], images=2)
    assert result.notes[0].startswith("lrp: refused: ")
    assert "change.lrp" not in result.metrics
    assert np.isnan(result.arrays["change"].values[0]).all()


def test_the_figure_has_a_panel_a_network_and_a_number_where_something_changes(data, trained):
    import matplotlib.pyplot as plt

    from tmi.runtime.plotting import figure_style

    settings = {"methods": ["saliency", "guided-backprop"], "images": 2}
    results = [tmi.probe("disguises", trained, data, seed=seed, **settings) for seed in (0, 1)]
    assert np.array_equal(largest(results), np.maximum(*(each.arrays["change"].values[..., 0] for each in results)))
    with figure_style():
        figure = invariance({"one": results, "two": results[:1]})
        assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["saliency", "guided-backprop"]
        assert [text.get_text() for text in figure.axes[0].texts] == [f"{largest(results)[1, DISGUISES.index('cancelling')]:.2g}"]
        plt.close(figure)


def test_a_network_with_other_logits_is_not_measured(data, trained, monkeypatch):
    def wrong(network, disguises, **given):
        other, mixing = disguise(network, disguises, **given)
        with torch.no_grad():
            list(other.module.parameters())[-1].add_(1)
        return other, mixing

    monkeypatch.setattr("tmi_attribution.disguises.disguise", wrong)
    result = tmi.probe("disguises", trained, data, seed=0, methods=["saliency"], images=2)
    assert not result.applicable
    assert "logits differ by" in result.notes[0]
