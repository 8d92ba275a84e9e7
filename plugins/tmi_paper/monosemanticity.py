"""The report of suite ``monosemanticity``: one page of comparison first, then the pictures of the probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, folded, paragraph, table
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.common import color_of

from .claims.claim import estimated
from .comparison import (
    LAYERS,
    Row,
    Verdict,
    compare,
    learnt,
    network_name,
    network_origin,
    spread,
    verdicts,
    verdicts_on_training,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
SIGNS = {"better": "▲ ", "worse": "▼ ", "not shown": "≈ "}
REFERENCE = "constructed: Theorem 1"
TASKS: tuple[tuple[str, int | None, str], ...] = (
    ("fashion", 1, "Fashion-MNIST tiles, one a class"),
    ("fashion", 3, "Fashion-MNIST tiles, three a class"),
    ("squares", None, "The squares of section 6.1"),
)
ABOUT = (
    "Mean ± standard deviation (n − 1) over the seeds, with their number n. Of trained networks only runs that learnt the task "
    "count: their accuracy is above chance by more than half of what is possible. ↑ higher is better, ↓ lower is better. "
    "Criterion of ▲ better and ▼ worse than Theorem 1: the 95 % interval of the difference, paired by seed, excludes 0 when "
    "corrected by Holm's method for all measures and networks of the table; ≈ not shown to differ. Where both have a value by "
    "chance, the difference is of values less chance. Single neurons are those of layer hidden, or in a network without one of "
    "layer conv. A dash: no value there."
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


def comparison_table(rows: list[Row]) -> str:
    """Return the comparison as an HTML table: a row a measure, a column a network, each cell with its number of seeds."""
    names = names_of(rows)
    found = verdicts(rows, REFERENCE, names)
    body = []
    for row in rows:
        cells = [cell(row, name, found[row, name][0] if (row, name) in found else None) for name in names]
        body.append((row.measure.topic, row.measure.text, ARROWS[row.better], *cells))
    return table(("", "measure", "better", *names), body)


def cell(row: Row, name: str, verdict: Verdict | None) -> str | None:
    """Write a network's mean, standard deviation and number of seeds, with the sign of its verdict; None without a value."""
    if name not in row.values:
        return None
    values = [*row.values[name].values()]
    return f"{SIGNS[verdict] if verdict else ''}{spread(values)} (n = {len(values)})"


def names_of(rows: list[Row]) -> list[str]:
    """Return the names of the networks in the order of the suite."""
    return list(dict.fromkeys(name for row in rows for name in row.values))


def sentences(rows: list[Row], runs: Mapping[str, Mapping[int, bool]]) -> list[str]:
    """Say for each trained network what the measures show beside Theorem 1, and what training changed; all follow by rule.

    Parameters
    ----------
    rows : list of Row
    runs : mapping of str to (mapping of int to bool)
        By network and seed, whether the run learnt its task: `tmi_paper.comparison.learnt`.
    """
    origins = {name: origin for row in rows for name, origin in row.origins.items()}
    trained = [name for name in names_of(rows) if origins[name] != "constructed"]
    trained += [
        name for name, known in runs.items() if name not in origins and not any(known.values())
    ]  # none of their runs learnt, so that they are in no row
    beside, by_training = verdicts(rows, REFERENCE, trained), verdicts_on_training(rows, trained)
    said = []
    for name in trained:
        known = runs.get(name, {})
        dead = sorted(seed for seed, ok in known.items() if not ok)
        without = f"; seed{'s' if len(dead) > 1 else ''} {', '.join(map(str, dead))} did not, and count in no row" if dead else ""
        parts = [f"{sum(known.values())} of {len(known)} runs learnt the task{without}"]
        for heading, found in (("beside Theorem 1", beside), ("beside the same network before training", by_training)):
            of_name = {row.measure.text: verdict for (row, network), (verdict, _) in found.items() if network == name}
            if of_name:
                listed = [
                    f"{sum(v == verdict for v in of_name.values())} {verdict}{_named(of_name, verdict)}"
                    for verdict in ("better", "worse")
                ]
                silent = sum(verdict == "not shown" for verdict in of_name.values())
                parts.append(f"{heading}, of {len(of_name)} measures {', '.join(listed)}, and {silent} not shown to differ")
        said.append(f"{name}: {'; '.join(parts)}.")
    return said


def _named(of_name: Mapping[str, Verdict], verdict: str) -> str:
    names = [text for text, own in of_name.items() if own == verdict]
    return f" ({'; '.join(names)})" if names else ""


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
        said = bullets(sentences(rows, learnt(results, dataset, k)))
        parts.append(
            folded(title, drawn + said + comparison_table(rows))
            if parts
            else drawn + paragraph(ABOUT) + said + comparison_table(rows)
        )
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
