"""Draw the figures of the documentation: ``python docs/make_figures.py``, or some of them by name.

``paper`` and ``monosemanticity`` take the results of those suites from the store (the variable ``TMI_STORE``, or
the folder ``tmi-store``), and compute those that are not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from blocks import save

import tmi
from tmi.runtime.plotting import CONSTRUCTED, figure_style

FIGURES = Path(__file__).parent / "figures"


def saliency(network: tmi.Network, images: torch.Tensor, label: int) -> np.ndarray:
    """The gradient of a label's logit, of the first channel of the first image."""
    x = images.clone().requires_grad_()
    network.module(x)[0, label].backward()
    return x.grad[0, 0].numpy()


def theorems() -> None:
    """One function, two networks, two gradients: where a tile is pasted exactly, and where it differs a little."""
    import matplotlib.pyplot as plt

    data = tmi.generate("fashion", seed=0, samples=1, test_samples=20, source="sample")
    scene = 3
    images, label = data.test.images[scene : scene + 1], int(data.test.labels[scene])
    tile = data.task.tiles[int(data.test.tile[scene])]
    rng = np.random.default_rng(0)
    # At most half of ε in all, so that the tile is still contained.
    change = torch.from_numpy(rng.uniform(-1, 1, images.shape) * 0.5 * tile.epsilon / tile.support.sum())
    jittered = (images + change * data.test.masks[scene]).clamp(0, 1).float()
    networks = {"Theorem 1": tmi.build("theorem1", data), "Theorem 2": tmi.build("theorem2", data)}
    with figure_style():
        figure, axes = plt.subplots(2, 3, figsize=(7.2, 5.2))
        for row, (name, x) in zip(axes, (("pasted exactly", images), ("with a jitter within ε", jittered)), strict=True):
            row[0].imshow(x[0, 0], vmin=0, vmax=1)
            row[0].set_title(f"{data.task.class_names[label]},\n{name}")
            for axis, (theorem, network) in zip(row[1:], networks.items(), strict=True):
                gradient = saliency(network, x, label)
                drawn = axis.imshow(gradient, cmap="RdBu_r", vmin=-1, vmax=1)
                logit = float(network.logits(x)[0, label])
                axis.set_title(f"{theorem}\nlogit {logit:.2f}, Σ |gradient| {np.abs(gradient).sum():.0f}")
        for axis in axes.flat:
            axis.set_xticks([])
            axis.set_yticks([])
        figure.colorbar(drawn, ax=axes[:, 1:], shrink=0.6, label="∂ logit / ∂ pixel", ticks=[-1, 0, 1])
        save("theorem1-theorem2-gradients", figure)


def monosemanticity() -> None:
    """Constructed networks beside trained ones on section 6.2, one tile a class: a row a measure."""
    from tmi_paper.comparison import compare
    from tmi_paper.monosemanticity import headline

    rows = compare(tmi.run("monosemanticity", only="fashion[tiles_per_class=1]/*"), "fashion", 1)
    with figure_style():
        figure = headline(rows)
        save("monosemanticity", figure)


def spectrum() -> None:
    """Continuous spectra of shapes: the templates they need, and accuracy on their members, over three seeds."""
    from tmi_probes.figures.spectrum import accuracy_on_members, templates_needed

    one, many, trained = "Theorem 1: one template a class", "Theorem 1: templates for the spectrum", "trained"
    results: dict[str, list[tmi.ProbeResult]] = {one: [], trained: [], many: []}
    for seed in range(3):
        data = tmi.generate("fashion", seed=seed, source="sample")
        results[one].append(tmi.probe("spectrum", tmi.build("theorem1", data), data, seed=seed))
        results[trained].append(tmi.probe("spectrum", tmi.build("cnn", data, seed=seed), data, seed=seed))
        for kind in ("rotation", "scale", "shear", "grey"):
            data = tmi.generate("spectrum", seed=seed, kind=kind, samples=1, source="sample")
            results[many].append(tmi.probe("spectrum", tmi.build("theorem1", data), data, seed=seed, kinds=[kind]))
    with figure_style():
        for name, figure in (
            ("spectrum-templates", templates_needed(results[one][0])),
            ("spectrum-accuracy", accuracy_on_members(results, {one: "constructed", trained: "trained", many: "constructed"})),
        ):
            save(name, figure)


def decomposition() -> None:
    """Section 7 on the network of section 6.2, seed 0: what makes a logit, why backgrounds move it little, units of features."""
    from tmi_probes.figures.decomposition import contributions, feature_overlap, shares, variance_split

    data = tmi.generate("fashion", seed=0, source="sample")
    networks = {"theorem 1": tmi.build("theorem1", data), "trained": tmi.build("cnn", data, seed=0)}
    origins = {name: network.origin for name, network in networks.items()}
    sums = {name: tmi.probe("logit-decomposition", network, data, images=1000, tiles="all") for name, network in networks.items()}
    trained = networks["trained"]
    from_backgrounds = tmi.probe("logit-decomposition", trained, data, images=1000, baseline="background")
    relative = {"trained, relative to backgrounds": from_backgrounds}
    sets = {name: tmi.probe("feature-neurons", network, data) for name, network in networks.items()}
    sets["trained, whole filters"] = tmi.probe("feature-neurons", trained, data, unit="filter")
    with figure_style():
        for name, figure in (
            ("logit-terms", contributions(sums, origins)),
            ("logit-shares", shares(sums | relative)),
            ("variance-split", variance_split(sums)),
            ("feature-overlap", feature_overlap(sets)),
        ):
            save(name, figure)


def paper() -> None:
    """Figures 1 to 4 of the paper, from the results of suite ``paper``: seed 0, tiles of the shipped sample."""
    from tmi_paper import figures
    from tmi_paper.figures_cutouts import figure_1

    wanted = ["figure-1/*/figure-1", "squares/*/examples", "fashion/*/examples", "*-robustness seed 0"]
    results = tmi.run("paper", only=wanted)

    def first(**labels: str) -> tmi.ProbeResult:
        return results.load(next(e for e in results.select(**labels) if e.status == "ok"))

    spreads = {
        what: first(dataset="fashion", network="trained", probe=probe)
        for what, probe in (("100 backgrounds", "background-robustness"), ("100 places", "translation-robustness"))
    }
    for name, ink, draw in (
        ("1", False, lambda: figure_1(first(probe="figure-1"))),
        ("2", True, lambda: figures.samples(first(dataset="squares", probe="examples"), 1)),
        ("3", False, lambda: figures.tiles_and_images(first(dataset="fashion", probe="examples"))),
        ("4", False, lambda: figures.logit_spread(spreads, "trained")),
    ):
        with figure_style(ink=ink):
            figure = draw()
            save(f"paper-figure-{name}", figure, 100)


def superposed() -> None:
    """Codes of tiles in superposition, and what each layer does on one image."""
    import matplotlib.pyplot as plt

    data = tmi.generate("fashion", seed=0, tiles_per_class=3, samples=1, test_samples=20, source="sample")
    network = tmi.build("superposed", data, neurons=17, seed=0)
    codes = network.directions("mixed").matrix
    scene = 3
    image, tile = data.test.images[scene], int(data.test.tile[scene])
    activations = network.activations(image[None])
    place = divmod(int(activations["mixed"][0].sum(0).argmax()), activations["mixed"].shape[-1])
    count = len(data.task.tiles)
    rows, cols = data.task.windows[0]
    layers = {
        "hidden: 30 detectors": activations["hidden"].view(count, rows, cols)[:, place[0], place[1]],
        "mixed: 17 neurons": activations["mixed"][0, :, place[0], place[1]],
        "decoded: 30 tiles": activations["decoded"].view(count, rows, cols)[:, place[0], place[1]],
    }
    with figure_style():
        figure = plt.figure(figsize=(9.2, 4.6), layout="constrained")
        left, middle, right = figure.add_gridspec(1, 3, width_ratios=[1.2, 1, 1.5])
        axis = figure.add_subplot(left)
        axis.imshow(codes, cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
        axis.axhspan(tile - 0.5, tile + 0.5, color=CONSTRUCTED, alpha=0.35, lw=0)
        axis.set(xlabel="neuron of mixed", ylabel="tile", title="Codes: 30 tiles in 17 neurons", xticks=range(0, 17, 4))
        axis = figure.add_subplot(middle)
        axis.imshow(image[0], vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], title=f"An image with tile {tile},\n{data.task.tile_name(tile)}")
        axes = right.subgridspec(3, 1).subplots()
        for axis, (name, values) in zip(axes, layers.items(), strict=True):
            axis.bar(np.arange(len(values)), values, color=CONSTRUCTED)
            axis.set(title=f"{name} at the tile's place", ylabel="activation", xlim=(-1, len(values)))
        axes[-1].set_xlabel("neuron")
        save("superposed", figure)


def representation() -> None:
    """CKA of layers, scenes that activate units most, and preferred pictures: a trained network and Theorem 1's, seed 0."""
    from tmi_probes.figures.representation import layer_similarity, preferred_pictures, top_scenes

    data = tmi.generate("fashion", seed=0, source="sample", test_samples=1000)
    settings = {"filters": 12, "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50}
    networks = {"trained, 12 filters": tmi.build("cnn", data, **settings), "constructed: Theorem 1": tmi.build("theorem1", data)}
    origins = {name: network.origin for name, network in networks.items()}

    def of(probe: str) -> dict[str, tmi.ProbeResult]:
        return {name: tmi.probe(probe, network, data) for name, network in networks.items()}

    layers = dict.fromkeys(networks, "hidden")
    with figure_style():
        save("cka", layer_similarity(of("cka"), origins))
        save("top-activating-scenes", top_scenes(of("top-activating-scenes"), origins, layers))
        save("preferred-pictures", preferred_pictures(of("activation-maximisation"), origins, layers))


ALL = {"paper": paper, "theorems": theorems, "monosemanticity": monosemanticity, "spectrum": spectrum}
ALL |= {"superposed": superposed, "decomposition": decomposition, "representation": representation}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        ALL[name]()
