"""The report of suite ``paper``: the claims of section 6 with what was measured, and the figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, paragraph, table
from tmi.runtime.plotting import figure_style

from . import figures
from .claims import claims, plain_summary, spread, swept_values
from .comparison import network_origin
from .remarks import REMARKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi
    from tmi.runs.results import Entry

METHODS = ("saliency", "input-x-gradient", "integrated-gradients", "deeplift", "gradient-shap", "occlusion", "sobel")
NETWORKS = {"constructed": "constructed", "trained-fashion": "trained"}
DEAD = 0.01
"""Active neurons an image below which a run counts as dead: its filters answer to fewer than one image in a hundred."""


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``paper``, or of a part of it.

    Returns
    -------
    list of Section
        Summary, claims, data sets, training runs, Figure 4, sparsity, attributions, remarks.
    """
    parts: tuple[Callable[[tmi.Results], Section | None], ...] = (
        _summary,
        _claims,
        _samples,
        _squares,
        _tiles_per_class,
        _figure_4,
        _neurons,
        _attributions,
        _remarks,
    )
    with figure_style():
        drawn = [part(results) for part in parts]
    return [section for section in drawn if section is not None]


def _summary(results: tmi.Results) -> Section:
    return Section("", "".join(paragraph(text) for text in plain_summary(results)))


def _claims(results: tmi.Results) -> Section | None:
    rows = [(c.where, c.paper, c.here, c.verdict) for c in claims(results)]
    if not rows:
        return None
    head = ("section", "the paper", "here", "holds")
    text = "Each number is the mean over the seeds, ± the standard deviation, and the range from least to greatest."
    return Section("The claims of section 6, and what was measured", paragraph(text) + table(head, rows))


def _samples(results: tmi.Results) -> Section | None:
    parts = []
    for dataset, number, rows, what in (
        ("squares", 2, 1, "4×4 images of section 6.1: one black or one white square, outlined, on random pixels; 1 is black."),
        ("fashion", 3, 2, "40×40 images of section 6.2: one 28×28 tile from Fashion-MNIST on random pixels."),
    ):
        entry = _first(results, dataset=dataset, probe="examples", tiles_per_class=None if dataset == "squares" else 1)
        if entry is None:
            continue
        result = results.load(entry)
        with figure_style(ink=bool(entry.record.get("ink"))):
            drawn = figures.samples(result, rows)
        caption = f"Figure {number} of the paper. {what} The outline is the tile's support: the pixels that decide."
        parts.append(figure(drawn, f"Sample images of the data set {dataset}, with the outline of their tile", caption))
    return Section("The images", "".join(parts)) if parts else None


def _squares(results: tmi.Results) -> Section | None:
    runs = results.select(dataset="squares", probe="accuracy")
    accuracies: dict[str, list[float]] = {}
    dead: dict[str, list[bool]] = {}
    origins: dict[str, str] = {}
    names: list[str] = []
    for entry in runs:
        if "accuracy" not in entry.metrics:
            continue
        name = _name(entry)
        gone = _is_dead(results, entry)
        accuracies.setdefault(name, []).append(entry.metrics["accuracy"])
        origins[name] = network_origin(entry)
        dead.setdefault(name, []).append(gone)
        if gone:
            names.append(f"{name}, seed {entry.seed}: test accuracy {entry.metrics['accuracy']:.3f}")
    if not accuracies:
        return None
    ordered = {name: accuracies[name] for name in sorted(accuracies, key=lambda n: (origins[n] != "constructed", _number(n)))}
    chance = float(np.mean(runs.values("chance")))
    drawn = figures.runs(ordered, dead, chance, origins)
    rows = [
        (name, len(v), *(round(float(x), 3) for x in (np.mean(v), np.median(v), min(v), max(v))), sum(dead[name]))
        for name, v in ordered.items()
    ]
    caption = (
        "Test accuracy of every run, a mark a seed. A black cross is a dead run: its filters answer to fewer than one test image "
        "in a hundred."
    )
    several = sum(sum(gone) for name, gone in dead.items() if _number(name) > 1)
    return Section(
        "Section 6.1: every run, the dead ones named",
        paragraph(
            "A filter that is 0 on an image gets no gradient from it, so that training cannot bring back one that is 0 on all. "
            "With one filter the whole network is then dead; "
            + (f"with several this happened in {several} runs." if several else "with several filters no run died.")
            if names
            else "No run died: in each some filter answers to the images."
        )
        + figure(drawn, "Test accuracy on the squares by number of filters, one mark a run", caption)
        + table(("network", "runs", "mean", "median", "least", "greatest", "dead"), rows)
        + (paragraph("Dead runs:") + bullets(names) if names else "")
        + _learned(results),
    )


def _learned(results: tmi.Results) -> str:
    """The four statements seed by seed for one filter, and the weights of the runs that most and least agree with them."""
    entries = [e for e in results.select(dataset="squares", probe="squares-heuristics") if e.swept.get("filters", 1) == 1]
    entries = [entry for entry in entries if entry.metrics]
    if not entries:
        return ""
    statements = ("high_above_1", "low_is_0", "active_means_first", "quiet_means_second")
    rows = []
    for entry in entries:
        shares = [entry.metrics.get(name) for name in statements]
        accuracy = results.select(
            dataset="squares", network=entry.network, probe="accuracy", seed=entry.seed, filters=entry.swept.get("filters")
        ).values("accuracy")
        rows.append(
            (
                entry.seed,
                f"{accuracy[0]:.3f}" if accuracy else "–",
                "white" if entry.metrics["mirrored"] else "black",
                *("no case" if share is None else f"{share:.1%}" for share in shares),
            )
        )
    # A statement without a case counts as not holding.
    agree = [sum(entry.metrics.get(name, 0.0) for name in statements) for entry in entries]
    shown = list(dict.fromkeys((int(np.argmax(agree)), int(np.argmin(agree)))))
    drawn = figures.learned_weights({f"seed {entries[i].seed}": results.load(entries[i]) for i in shown})
    head = (
        "seed",
        "test accuracy",
        "responds to",
        "mean ≥ 0.7: above 1",
        "mean ≤ 0.4: 0",
        "layer mean > 0.5: first",
        "layer mean < 0.3: second",
    )
    return (
        paragraph("The four statements about a network of one filter, seed by seed: in which share of the cases each holds.")
        + table(head, rows)
        + figure(
            drawn,
            "Learned kernel and linear weights of two runs with one filter, with their numbers",
            "Trained weights: the 2×2 kernel, and for each logit the weights of the nine places, of the run that agrees with "
            "the statements most and of the one that does least.",
        )
    )


def _tiles_per_class(results: tmi.Results) -> Section | None:
    rows = []
    for network in ("constructed", "trained-fashion"):
        for k in swept_values(results, "tiles_per_class"):
            chosen = results.select(dataset="fashion", network=network, probe="accuracy", tiles_per_class=k)
            test, train = chosen.values("accuracy"), chosen.values("train_accuracy")
            if test:
                each = ", ".join(f"{value:.3f}" for value in test)
                rows.append((NETWORKS[network], k, spread(test), spread(train), each))
    if not rows:
        return None
    return Section(
        "Section 6.2: how many tiles a class",
        paragraph(
            "The paper does not say how many tiles k a class has, so several are run. Compare the accuracy on the training "
            "images with that on new ones."
        )
        + table(("network", "tiles a class, k", "test accuracy", "training accuracy", "test accuracy, seed by seed"), rows),
    )


def _figure_4(results: tmi.Results) -> Section | None:
    columns, origins = {}, {}
    for network in ("constructed", "trained-fashion"):
        for probe, what in (("background-robustness", "100 backgrounds"), ("translation-robustness", "100 places")):
            entry = _first(results, dataset="fashion", network=network, probe=probe, tiles_per_class=1)
            if entry is not None:
                heading = f"{NETWORKS[network]},\n{what}"
                columns[heading], origins[heading] = results.load(entry), network_origin(entry)
    if not columns:
        return None
    rows = []
    for network in ("constructed", "trained-fashion"):
        for k in swept_values(results, "tiles_per_class"):
            by_probe = {
                probe: results.select(dataset="fashion", network=network, probe=probe, tiles_per_class=k)
                for probe in ("background-robustness", "translation-robustness")
            }
            stds = [spread(part.values("logit_std")) for part in by_probe.values()]
            right = [spread(part.values("unchanged")) for part in by_probe.values()]
            if all(part.values("logit_std") for part in by_probe.values()):
                rows.append((NETWORKS[network], k, *stds, _ratio(*by_probe.values()), *right))
    caption = (
        "Figure 4 of the paper, seed 0, k = 1. Each row is one tile, at one place under up to 100 backgrounds, or on one "
        "background at up to 100 places. Boxes span the quartiles, whiskers the whole range; the coloured box is the label's "
        "logit. A box without height is a logit that does not change at all."
    )
    head = (
        "network",
        "k",
        "logit std, backgrounds",
        "logit std, places",
        "variance ratio places/backgrounds",
        "same prediction, backgrounds",
        "same prediction, places",
    )
    return Section(
        "Figure 4: another background, another place",
        figure(figures.logit_spread(columns, origins), "Distributions of logits over backgrounds and places", caption)
        + table(head, rows, "Mean over tiles, logits and seeds."),
    )


def _neurons(results: tmi.Results) -> Section | None:
    shares: dict[str, dict[str, list[float]]] = {}
    totals: dict[str, dict[str, int]] = {}
    counts: dict[str, NDArray[np.float64]] = {}
    origins: dict[str, str] = {}
    for network in ("constructed", "trained-fashion"):
        chosen = results.select(dataset="fashion", network=network, probe="activation-sparsity", tiles_per_class=1)
        for entry in chosen:
            origins[NETWORKS[network]] = network_origin(entry)
            for metric, value in entry.metrics.items():
                measure, _, layer = metric.partition(".")
                if measure == "active_share" and layer != "logits":
                    shares.setdefault(NETWORKS[network], {}).setdefault(layer, []).append(value)
                    totals.setdefault(NETWORKS[network], {})[layer] = int(entry.metrics[f"neurons.{layer}"])
        panel = _first(results, dataset="fashion", network=network, probe="selectivity", tiles_per_class=1)
        if panel is None:
            continue
        for name, array in results.load(panel).arrays.items():
            measure, _, layer = name.partition(".")
            if measure == "classes_per_neuron":
                origins[f"{NETWORKS[network]}: {layer}"] = network_origin(panel)
                counts[f"{NETWORKS[network]}: {layer}"] = array.values[np.isfinite(array.values)]
    if not shares:
        return None
    body = figure(
        figures.active_neurons(shares, totals, origins),
        "Share of active neurons an image, by layer, constructed and trained",
        "Section 6.2, k = 1. How many neurons of a layer an image activates, mean over images and seeds. "
        "Theorem 1 promises one for the constructed network, where no other window matches: that of this tile at this place.",
    )
    if counts:
        body += figure(
            figures.classes_per_neuron(counts, _classes(results), origins),
            "For how many classes neurons fire, by layer",
            "For how many classes a neuron fires, on more than 1 % of a class's images; seed 0, k = 1. "
            "A monosemantic neuron fires for one.",
        )
    return Section("Monosemantic and polysemantic neurons", body)


def _attributions(results: tmi.Results) -> Section | None:
    chosen = {
        network: [e for e in results.select(dataset="fashion", network=network, probe=probe, tiles_per_class=1) if e.metrics]
        for network, probe in (
            ("constructed", "attribution"),
            ("trained-fashion", "attribution"),
            ("literal", "attribution-as-layers"),
        )
    }
    layers = chosen.pop("literal")
    chosen = {network: entries for network, entries in chosen.items() if entries}
    if not chosen:
        return None
    first = {NETWORKS[network]: results.load(entries[0]) for network, entries in chosen.items()}
    maps = {name: _maps(result) for name, result in first.items()}
    scores = {NETWORKS[network]: _precision(entries) for network, entries in chosen.items()}
    kept = next(iter(first.values()))
    remark = ""
    if layers and "constructed" in maps:
        # DeepLift refuses the fused network; the same function as layers, with the same gradient, supplies its map.
        same = results.load(layers[0])
        if np.array_equal(same.arrays["images"].values[:2], kept.arrays["images"].values[:2]):
            maps["constructed"]["deeplift"] = _maps(same)["deeplift"]
            scores["constructed"]["deeplift"] = _precision(layers)["deeplift"]
            remark = (
                " DeepLift is refused on the fused constructed network, for its matching is a single operation; shown is its map "
                "on "
                "the same network as layers, scored on fewer images."
            )
        first["constructed, as layers"] = same
    delta = [
        (name, method, result.metrics[f"completeness_relative.{method}"], result.metrics.get(f"zero_map.{method}"))
        for name, result in first.items()
        for method in METHODS
        if f"completeness_relative.{method}" in result.metrics
    ]
    refused = [f"{name}: {note}" for name, result in first.items() for note in result.notes if "refused" in note]
    origins = {NETWORKS[network]: network_origin(entries[0]) for network, entries in chosen.items()}
    chances = [entry.metrics["precision.chance"] for entries in chosen.values() for entry in entries]
    return Section(
        "Where attribution methods look, and where they should",
        paragraph(
            "Captum's methods explain the label's logit of test images of section 6.2 (k = 1). The truth is known: only the "
            "pixels in the outline can decide. Every map is scored by the share of its strongest pixels that lie there; a "
            "constant map scores chance, the truth itself 1, and edges alone (Sobel) need no network at all."
        )
        + figure(
            figures.attribution_maps(kept.arrays["images"].values[:2], kept.arrays["masks"].values[:2], maps, METHODS),
            "Attribution maps of all methods, network by network",
            "Absolute attributions on the same images, each map scaled to its own maximum (black is 0); seed 0. The outline is "
            f"the tile's support.{remark}",
        )
        + figure(
            figures.attribution_scores(scores, float(np.mean(chances)), origins),
            "Precision of attribution methods, by network",
            "Mean over images and seeds.",
        )
        + table(
            ("network", "method", "error of completeness, relative", "share of maps that are 0 everywhere"),
            delta,
            "Attributions should add up to the logit's change from the baseline; seed 0. The logit of a constructed network is "
            "above 0 only within ε of a tile, at the end of the path from black: few steps, or random points, fall there.",
        )
        + (bullets(refused) if refused else ""),
    )


def _maps(result: tmi.ProbeResult) -> dict[str, NDArray[np.float32]]:
    return dict(zip(result.coords["method"].tolist(), result.arrays["maps"].values[:, :2], strict=True))


def _precision(entries: list[Entry]) -> dict[str, float]:
    """Mean precision of each method over the entries."""
    known = {metric.partition(".")[2]: metric for metric in entries[0].metrics if metric.startswith("precision.")}
    return {m: float(np.mean([entry.metrics[known[m]] for entry in entries])) for m in METHODS if m in known}


def _remarks(results: tmi.Results) -> Section:
    head = ("", "the paper", "here")
    return Section("What the paper gets wrong or leaves open", table(head, REMARKS))


def _first(results: tmi.Results, **wanted: object) -> Entry | None:
    """Return the first entry with a result, or None."""
    return next((entry for entry in results.select(**wanted) if entry.status == "ok"), None)


def _is_dead(results: tmi.Results, run: Entry) -> bool:
    """Whether the filters of a run answer to almost no test image."""
    for entry in results.select(dataset=run.dataset, network=run.network, probe="activation-sparsity", seed=run.seed):
        if entry.swept == run.swept:
            return entry.metrics.get("active_per_image.conv", 1) < DEAD
    return False


def _name(entry: Entry) -> str:
    filters = entry.swept.get("filters")
    return "constructed" if filters is None else f"{filters} filter{'s' if filters > 1 else ''}"


def _number(name: str) -> int:
    first = name.split()[0]
    return int(first) if first.isdigit() else 0


def _classes(results: tmi.Results) -> int:
    """Return the number of classes of fashion, from the first result that names them; 1 where none does."""
    for entry in results.select(dataset="fashion", status="ok"):
        if "class" in (coords := results.load(entry).coords):
            return len(coords["class"])
    return 1


def _ratio(backgrounds: tmi.Results, places: tmi.Results) -> str:
    below = float(np.mean(backgrounds.values("logit_variance")))
    return f"{float(np.mean(places.values('logit_variance'))) / below:.3g}" if below > 0 else "0/0"
