"""The report of suite ``monosemanticity``: one page of comparison first, then the pictures of the probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, folded, paragraph
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.common import color_of

from .claims.claim import estimated
from .comparison import LAYERS, Row, compare, learnt, network_name, network_origin
from .comparison_text import ABOUT, ARROWS, comparison_table, sentences, verdicts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

TASKS: tuple[tuple[str, int | None, str], ...] = (
    ("fashion", 1, "Fashion-MNIST tiles, one a class"),
    ("fashion", 3, "Fashion-MNIST tiles, three a class"),
    ("squares", None, "The squares of section 6.1"),
)
MARKS = {"constructed: Theorem 1": "o", "constructed: Theorem 2": "x"}
WIDTHS = "^sDvP"


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``monosemanticity``, or of a part of it.

    Returns
    -------
    list of Section
        The comparison as a picture and a table, then the probes' figures for seed 0 on ``fashion``, one tile a class.
    """
    with figure_style():
        parts = [
            _comparison(results),
            *(part(results) for part in (_neurons, _recovered, _alike, _circuits, _forms, _robustness)),
        ]
    return [section for section in parts if section is not None]


def headline(rows: list[Row]) -> Figure:
    """Draw the shares among the measures: a row a measure, a mark a network at its mean, a line for its 95 % interval over seeds.

    Parameters
    ----------
    rows : list of Row
        Rows that are not marked as headline are left out.
    """
    import matplotlib.pyplot as plt

    shown = [row for row in rows if row.measure.headline]
    names = list(dict.fromkeys(name for row in shown for name in row.values))
    origins = {name: origin for row in shown for name, origin in row.origins.items()}
    trained = [name for name in names if origins[name] != "constructed"]
    figure, axis = plt.subplots(figsize=(7.4, 0.34 * len(shown) + 1.1))
    offsets = np.linspace(-0.27, 0.27, len(names)) if len(names) > 1 else [0.0]
    for place, row in enumerate(shown):
        if place % 2:
            axis.axhspan(place - 0.5, place + 0.5, color="0.95", zorder=0, linewidth=0)
        for name, offset in zip(names, offsets, strict=True):
            if name not in row.values:
                continue
            values = row.values[name]
            mean, interval = float(np.mean([*values.values()])), estimated(values, low=min(0.0, *values.values()), high=1.0)
            color = color_of(origins[name])
            mark = MARKS.get(name) or WIDTHS[trained.index(name) % len(WIDTHS) if name in trained else 0]
            if interval:
                ends = [interval.low, interval.high]
                axis.plot(ends, [place + offset] * 2, color=color, linewidth=1.2, alpha=0.6, clip_on=False)
            axis.plot(
                mean,
                place + offset,
                marker=mark,
                color=color,
                markersize=4.5,
                linestyle="none",
                label=name if name not in axis.get_legend_handles_labels()[1] else None,
                clip_on=False,
                zorder=3,
            )
            if name in row.chance:
                by_chance = float(np.mean([*row.chance[name].values()]))
                axis.plot(by_chance, place + offset, marker="|", color="0.45", markersize=6, linestyle="none", zorder=2)
    if any(row.chance for row in shown):
        axis.plot([], [], marker="|", color="0.45", markersize=6, linestyle="none", label="chance, of each network")
    axis.set_yticks(range(len(shown)), [f"{row.measure.text} {ARROWS[row.better]}" for row in shown])
    axis.tick_params(axis="y", length=0)
    low = min(0.0, *(min(values.values()) for row in shown for values in row.values.values()))
    axis.set_xlim(low - 0.02, 1.02)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlabel("value; the arrow shows which direction is better")
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: [*names, "chance, of each network"].index(labels[i]))
    figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _comparison(results: tmi.Results) -> Section | None:
    parts: list[str] = []
    for dataset, k, title in TASKS:
        rows = compare(results, dataset, k)
        if not rows:
            continue
        drawn = ""
        seeds = max(len(values) for row in rows for values in row.values.values())
        if any(row.measure.headline for row in rows):
            caption = f"{title}. Mean over at most {seeds} seed{'s' if seeds > 1 else ''} that learnt, with its 95 % interval."
            drawn = figure(headline(rows), f"Measures of constructed and trained networks on {dataset}", caption)
        found = verdicts_of(rows)
        said = bullets(sentences(rows, learnt(results, dataset, k), found)) + comparison_table(rows, found)
        parts.append(folded(title, drawn + said) if parts else drawn + paragraph(ABOUT) + said)
    return Section("", "".join(parts)) if parts else None


def _neurons(results: tmi.Results) -> Section | None:
    from tmi_probes.figures.neurons import firing_curves, firing_rates

    body = _drawn(
        results,
        "activation-sparsity",
        firing_rates,
        "How often neurons fire, by layer and network",
        "Share of test images on which each neuron is not 0, the busiest first.",
        few=True,
    )
    body += _drawn(
        results,
        "selectivity",
        firing_curves,
        "For how many classes neurons fire, by threshold",
        "For how many classes a neuron of layer hidden fires depends on what firing is called; dashed: on shuffled images. "
        "A neuron of a constructed network sees one place, so that it fires on few images of any class.",
        few=True,
    )
    return Section("Single neurons", body) if body else None


def _recovered(results: tmi.Results) -> Section | None:
    from tmi_probes.figures.layers import decoding_scores, dimensionality, recovery_scores

    body = ""
    for probe, draw, alt, caption in (
        ("unit-recovery", recovery_scores, "Unit recovery by network and layer", "How well units match the exact features."),
        (
            "superposition",
            dimensionality,
            "Superposition by network and layer",
            "How much of a dimension a feature has to itself.",
        ),
        ("decodability", decoding_scores, "Decodability by network and layer", "What a linear model reads off each layer."),
    ):
        body += _drawn(results, probe, draw, alt, caption, few=True)
    return Section("What is in a layer", body) if body else None


def _alike(results: tmi.Results) -> Section | None:
    from tmi_probes.figures.representation import layer_similarity, preferred_pictures, top_scenes

    def at_layer(draw: Callable[..., Figure], array: str) -> Callable[..., Figure]:
        def drawn(found: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
            layers = {name: next(layer for layer in LAYERS if f"{array}.{layer}" in one.arrays) for name, one in found.items()}
            return draw(found, origins, layers)

        return drawn

    body = _drawn(
        results,
        "cka",
        layer_similarity,
        "CKA of layers",
        "Which layers hold the same images to be alike: within a network, and beside the layers of Theorem 1's network.",
        few=True,
    )
    body += _drawn(
        results,
        "top-activating-scenes",
        at_layer(top_scenes, "crop"),
        "Scenes that activate units most",
        "What units read of the scenes that activate them most, with their activations; units drawn at random.",
        few=True,
    )
    body += _drawn(
        results,
        "activation-maximisation",
        at_layer(preferred_pictures, "picture"),
        "Preferred pictures of units beside tiles",
        "The picture on which a unit is most active, and the tile that it stands for or that fits best. Random tiles have the "
        "power spectra of the tiles.",
        few=True,
    )
    return Section("Representation", body) if body else None


def _circuits(results: tmi.Results) -> Section | None:
    from tmi_probes.figures.circuits import pruning, responsible
    from tmi_probes.figures.layers import dictionaries

    body = ""
    for probe, draw, alt, caption in (
        (
            "responsible-neurons",
            responsible,
            "How many neurons are responsible for an answer",
            "How many neurons suffice for the label's logit and for the prediction, and how many must go to change it.",
        ),
        (
            "prunability",
            pruning,
            "Accuracy against the share of weights kept",
            "Weights are taken away by magnitude, least first. A constructed network is drawn as it is.",
        ),
        (
            "dictionary",
            dictionaries,
            "Unit recovery before and after dictionaries",
            "Are monosemantic directions hidden in the trained network? How well its units, and the codes of dictionaries "
            "fitted to them, match the exact features.",
        ),
    ):
        body += _drawn(results, probe, draw, alt, caption)
    return Section("Circuits", body) if body else None


def _forms(results: tmi.Results) -> Section | None:
    from tmi_probes.figures.linear import local_forms, pieces_on_paths

    body = _drawn(
        results,
        "local-linear-form",
        local_forms,
        "Weights of the local linear form, by image and network",
        "Around an image each network is f(x) = W x + b. Shown is W of the label's logit, red above 0 and blue below; the "
        "outline is the tile's support. Theorem 2's ReLUs are at their kink where a tile matches exactly, so that its W is 0.",
    )
    body += _drawn(
        results,
        "linear-regions",
        pieces_on_paths,
        "The label's logit along paths, with the places where the linear piece changes",
        "The label's logit on the straight way to the same scene on another background, and with its tile one pixel on. Each "
        "mark is a value at which a linear piece ends; all are found exactly.",
    )
    return Section("Linear pieces", body) if body else None


def _robustness(results: tmi.Results) -> Section | None:
    from tmi_probes.figures.robustness import background_kinds, deformations, worst_cases

    body = ""
    parts: tuple[tuple[str, Callable[..., Figure], str, str], ...] = (
        (
            "background-kinds",
            background_kinds,
            "Share of right answers by kind of background",
            "Networks were trained on uniform noise, as in data. Below, the worst image of each kind.",
        ),
        (
            "translation-robustness",
            worst_cases,
            "The worst place for each tile",
            "The same tile on the same background, where it was and at the place of least margin.",
        ),
        (
            "deformation",
            deformations,
            "Accuracy against the strength of deformations",
            "A template tolerates ε and nothing else: here its limits show, and what training learns beyond templates.",
        ),
    )
    for probe, draw, alt, caption in parts:
        body += _drawn(results, probe, draw, alt, caption, few=probe == "translation-robustness")
    return Section("Robustness", body) if body else None


def _drawn(results: tmi.Results, probe: str, draw: Callable[..., Figure], alt: str, caption: str, *, few: bool = False) -> str:
    """Draw a probe's figure of the first seed; with ``few`` only of Theorem 1 and the middle one of the trained widths."""
    chosen = [
        entry
        for entry in results.select(dataset="fashion", probe=probe)
        if entry.status == "ok" and entry.swept.get("tiles_per_class", 1) == 1
    ]
    if not chosen:
        return ""
    seed = min(entry.seed for entry in chosen)
    origins = {network_name(entry): network_origin(entry) for entry in chosen if entry.seed == seed}
    loaded = {network_name(entry): results.load(entry) for entry in chosen if entry.seed == seed}
    if few:
        trained = [name for name in loaded if origins[name] != "constructed"]
        kept = {"constructed: Theorem 1", *trained[(len(trained) - 1) // 2 :][:1]}
        loaded = {name: result for name, result in loaded.items() if name in kept}
    return figure(
        draw(loaded, {name: origins[name] for name in loaded}), alt, f"{caption} Fashion-MNIST tiles, one a class, seed {seed}."
    )
