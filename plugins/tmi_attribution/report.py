"""The report of suite ``attribution``: how near each method comes to the truth, and which measures rank methods as it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, folded, paragraph, table
from tmi.runtime.plotting import figure_style

from . import figures
from .leaderboard import EDGES, TRUTH, Standing, Trust, below_edges, networks_of, ranked, standings, truth_free
from .leaderboard import trust as trust_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Maps = dict[str, dict[str, NDArray[np.float64] | None]]

METHODS = ("methods", "methods-as-layers")
"""Labels of the probes that attribute the label's logit to pixels."""

LAYERS = {
    "layers": "layer hidden",
    "layers-of-maps": "layer conv",
    "layers-as-layers": "layer hidden",
    "neurons": "neurons of hidden",
    "neurons-of-maps": "neurons of conv",
}
"""Labels of the probes that look at a layer, and the layer."""

NETWORKS = {
    "theorem1": "constructed: Theorem 1",
    "theorem1-layers": "constructed: Theorem 1 as layers",
    "theorem2": "constructed: Theorem 2",
    "theorem2-layers": "constructed: Theorem 2 as layers",
    "cnn": "trained: CNN",
    "cnn-max": "trained: CNN, max pooling",
    "cnn-average": "trained: CNN, average pooling",
    "cnn-deep": "trained: CNN, two convolutions",
}
"""Display names of the networks by label, in the order of the report."""

GRADIENTS = ("saliency", "input-x-gradient", "integrated-gradients", "deeplift", "guided-backprop", "deconvolution")
"""Methods that follow gradients, shown on networks that compute the same function."""

CENTRE = "centre-prior"
"""The control that knows only that tiles are often in the middle of the image."""

_BEST = 3


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; a section without results is left out.

    Parameters
    ----------
    results : Results
        Of suite ``attribution``, or of a part of it.

    Returns
    -------
    list of Section
        The findings in words, the leaderboard, maps, networks that compute the same function, which measure to trust, cost, the
        convergence of integrated gradients, layers and neurons.
    """
    rows = standings(results, METHODS, NETWORKS)
    measures = truth_free(results, METHODS)
    parts: list[Callable[[], Section | None]] = [
        lambda: _words(rows),
        lambda: _leaderboard(rows),
        lambda: _maps(results, rows),
        lambda: _same_function(results),
        lambda: _trust(rows, measures),
        lambda: _cost(rows),
        lambda: _convergence(results),
        lambda: _layers(results),
    ]
    with figure_style(ink=any(entry.record.get("ink") for entry in results)):  # the maps shown are on one data set
        drawn = [part() for part in parts]
    return [section for section in drawn if section is not None]


def in_words(rows: Sequence[Standing]) -> list[str]:
    """Return which methods are best on each network, which are worse than Sobel, and which are refused.

    Parameters
    ----------
    rows : sequence of Standing

    Returns
    -------
    list of str
        A few sentences for each network.
    """
    findings = []
    for network, methods in networks_of(rows).items():
        ranking = [
            methods[name]
            for name in ranked(list(methods.values()))
            if not methods[name].control and methods[name].skill is not None
        ]
        sentences = []
        if ranking:
            sentences = [f"Best: {', '.join(f'{row.method} ({_skill(row)})' for row in ranking[:_BEST])}."]
            sentences += [*_worse_than_edges(methods), *_worse_than_centre(methods, ranking)]
        sentences += [f"Refused: {', '.join(names)}: {reason}." for reason, names in _refusals(methods.values()).items()]
        findings += [f"{network}. {sentence}" for sentence in sentences]
    return findings


def checks(rows: Sequence[Standing]) -> list[str]:
    """Return whether the controls score as they must, and which methods attribute to the null region.

    Parameters
    ----------
    rows : sequence of Standing
    """
    findings = []
    oracle = [row for row in rows if row.method == "oracle" and row.skill is not None]
    if oracle:
        right = sum(abs((row.skill or 0) - 1) < 1e-9 for row in oracle)
        findings.append(f"The oracle has skill 1 on {right} of {len(oracle)} networks.")
    random = [row.interval for row in rows if row.method == "random" and row.interval is not None]
    if random:
        right = sum(low <= 0 <= high for low, high in random)
        findings.append(f"The interval of a random map's skill contains 0 on {right} of {len(random)} networks.")
    for network, methods in networks_of(rows).items():
        leaks = {
            name: row.measures["null_leakage"]
            for name, row in methods.items()
            if not row.control and "null_leakage" in row.measures and np.isfinite(row.measures["null_leakage"]).any()
        }
        silent = [name for name, row in methods.items() if not row.control and row.zero_map == 1]
        none = [name for name, leak in leaks.items() if np.nanmax(leak) == 0]
        some = [f"{name} ({np.nanmean(leak):.2g})" for name, leak in leaks.items() if name not in none]
        if leaks:
            parts = [f"Attribution to the null region is exactly 0 for {', '.join(none) or 'none'}"]
            parts += [f"not for {', '.join(some)}"] if some else []
            parts += [f"all maps of {', '.join(silent)} are 0 everywhere, and score as a constant map"] if silent else []
            findings.append(f"{network}. {'; '.join(parts)}.")
    return findings


def verdict(trusts: Sequence[Trust]) -> str:
    """Return in a few words whether a measure ranks methods as the truth does.

    Parameters
    ----------
    trusts : sequence of Trust
        Of one measure, on several networks.
    """
    known = [trust.agreement for trust in trusts if trust.agreement is not None]
    with_truth = sum(agreement.low > 0 for agreement in known)
    against = sum(agreement.high < 0 for agreement in known)
    if not known:
        return "too few methods"
    if with_truth == len(known):
        return "ranks as the truth does on every network"
    if against == len(known):
        return "ranks against the truth on every network"
    parts = [f"as the truth does on {with_truth}"] if with_truth else []
    parts += [f"against it on {against}"] if against else []
    rest = len(known) - with_truth - against
    parts += [f"undecided on {rest}"] if rest else []
    return f"{', '.join(parts)} of {len(known)}"


def _worse_than_edges(methods: Mapping[str, Standing]) -> list[str]:
    """Return which methods are worse than Sobel; nothing where Sobel was not run."""
    edges = methods.get(EDGES)
    if edges is None or edges.skill is None:
        return []
    below = below_edges(list(methods.values()))
    if not below:
        return [f"No method is worse than Sobel ({_skill(edges)})."]
    certain, uncertain = (
        ", ".join(f"{row.method} ({_skill(row)})" for row, sure in below if sure == which) for which in (True, False)
    )
    named = "; ".join(filter(None, [certain, uncertain and f"within the interval of the difference: {uncertain}"]))
    return [
        f"Worse than Sobel ({_skill(edges)}), which does not use the network: {named}. "
        f"{'This method says' if len(below) == 1 else 'These methods say'} nothing about the network."
    ]


def _worse_than_centre(methods: Mapping[str, Standing], ranking: Sequence[Standing]) -> list[str]:
    """Return which methods are worse than a prior for the middle of the image."""
    centre = methods.get(CENTRE)
    if centre is None or centre.skill is None:
        return []
    worse = [row.method for row in ranking if row.skill is not None and row.skill < centre.skill]
    named = "every method" if len(worse) == len(ranking) else ", ".join(worse)
    return [f"A prior for the middle of the image ({_skill(centre)}) is better than {named}."] if worse else []


def _words(rows: Sequence[Standing]) -> Section | None:
    findings = in_words(rows)
    if not findings:
        return None
    text = (
        "Attribution methods say which pixels decided. Here that is known: the pixels of the pasted tile. Skill is (score − "
        "chance)/(oracle − chance), averaged over the localisation measures: the true mask has skill 1, noise has skill 0. A "
        "method that is worse than Sobel, which draws edges and does not use the network, says nothing about the network. A "
        "constructed network depends on the tile alone, so low skill is the method's error; a trained network may depend on "
        "other pixels too."
    )
    body = paragraph(text) + bullets(findings)
    checked = checks(rows)
    return Section(
        "",
        body
        + (
            folded(
                "Controls, and attribution to the null region: pixels on which the logit provably does not depend",
                bullets(checked),
            )
            if checked
            else ""
        ),
    )


def _leaderboard(rows: Sequence[Standing]) -> Section | None:
    if not any(row.skill is not None for row in rows):
        return None
    networks = networks_of(rows)
    head = ("method", *networks)
    names = ranked(rows)
    below = {(row.network, row.method) for methods in networks.values() for row, _ in below_edges(list(methods.values()))}
    body = [
        (name, *(_cell(methods.get(name), (network, name) in below) for network, methods in networks.items())) for name in names
    ]
    drawn = figure(
        figures.leaderboard(rows),
        "Skill of every attribution method on every network",
        "Skill with 95 % bootstrap intervals over the images of all seeds. Controls are below the line. A method is refused "
        "where its numbers would be wrong without a sign of it.",
    )
    more = [
        (row.network, row.method, row.evaluations, row.zero_map, row.completeness)
        for row in rows
        if row.skill is not None and not row.control
    ]
    return Section(
        "Leaderboard",
        drawn
        + table(head, body, "Mean skill and 95 % interval. ▼: worse than Sobel. A dash: not run.")
        + folded(
            "Evaluations of the network, maps that are 0 everywhere, completeness",
            table(("network", "method", "evaluations for each image", "all-zero maps", "relative error of completeness"), more),
        ),
    )


def _maps(results: tmi.Results, rows: Sequence[Standing]) -> Section | None:
    shown = _shown(results)
    if shown is None:
        return None
    maps = shown.maps
    names = [name for name in ranked(rows) if any(methods.get(name) is not None for methods in maps.values())]
    constructed, trained = (shown.of(origin) for origin in ("constructed", "trained"))
    pair = [*constructed[:1], *trained[:1]] or list(maps)[:1]
    filled = _fill_refused(maps, constructed)
    caption = (
        "Signed attributions of the label's logit, each map with its own colour scale: red supports the label, blue opposes it. "
        "The outline is the tile's support."
    )
    body = figure(
        figures.map_grid(shown.image, shown.mask, {name: maps[name] for name in pair}, names),
        "The maps of all attribution methods on one image",
        caption + filled,
    )
    others = [name for name in trained if name not in pair]
    if others:
        tried = [name for name in names if any(name in maps[other] for other in others)]
        drawn = figures.map_grid(shown.image, shown.mask, {name: maps[name] for name in others}, tried, columns=3)
        body += folded(
            "The other trained networks",
            figure(drawn, "The maps of all attribution methods on one image, on the other trained networks", caption),
        )
    return Section("The maps of all methods on one image", body)


def _same_function(results: tmi.Results) -> Section | None:
    shown = _shown(results)
    if shown is None:
        return None
    maps = {name: shown.maps[name] for name in shown.of("constructed")}
    methods = [name for name in GRADIENTS if sum(by_method.get(name) is not None for by_method in maps.values()) > 1]
    if len(maps) < 2 or not methods:
        return None
    body = []
    for method in methods:
        first, reference = next(
            (name, by_method[method]) for name, by_method in maps.items() if by_method.get(method) is not None
        )
        differences = {name: _difference(reference, by_method.get(method)) for name, by_method in maps.items()}
        body.append((method, *("compared with" if name == first else differences[name] for name in maps)))
    return Section(
        "The same function, other attributions",
        paragraph(
            "These networks compute the same logits. Theorem 1 fused and Theorem 1 as layers have the same gradients too, and "
            "the same maps. Theorem 2 is built from other neurons: where a tile matches exactly, its ReLUs are at their kink and "
            "the gradient is 0; as layers, rounding carries some of them past the kink. So an attribution is a property of the "
            "network, not of the function that it computes, and a map of zeros does not mean that the pixels do not matter."
        )
        + figure(
            figures.side_by_side(shown.image, shown.mask, maps, methods),
            "Maps of gradient methods on networks that compute the same function",
            "The same image on constructed networks. Each map has its own colour scale; red supports the label, blue opposes it.",
        )
        + table(("method", *maps), body, "Largest difference between two maps, over the largest attribution of the two."),
    )


def _trust(rows: Sequence[Standing], measures: Mapping[str, str]) -> Section | None:
    trusts = [trust for trust in trust_in(rows, measures) if trust.agreement]
    if not trusts:
        return None
    networks = list(dict.fromkeys(trust.network for trust in trusts))
    by_measure: dict[str, dict[str, Trust]] = {}
    for trust in trusts:
        by_measure.setdefault(trust.measure, {})[trust.network] = trust

    def mean_tau(measure: str) -> float:
        return float(np.mean([trust.agreement.tau for trust in by_measure[measure].values() if trust.agreement]))

    body = [
        (
            f"{measure.replace('_', '-')} {figures.ARROWS[measures[measure]]}",
            *(figures.tau_text(by_measure[measure].get(network)) for network in networks),
            verdict(list(by_measure[measure].values())),
        )
        for measure in sorted(by_measure, key=mean_tau, reverse=True)
    ]
    return Section(
        "Which measure may one trust where there is no truth?",
        paragraph(
            "Where the truth is not known, methods are ranked by measures that do not need it. Kendall's τ compares such a "
            "ranking with that by skill: 1 is the same ranking, 0 an unrelated one, −1 the reverse. Intervals are over bootstrap "
            "samples of the images; where an interval contains 0, no relation has been shown. Controls are not ranked."
        )
        + table(
            ("measure", *networks, "so it ranks"), body, "Kendall's τ-b with its 95 % interval, most trustworthy measure first."
        )
        + figure(
            figures.trust_scatter(rows, trusts),
            "Truth-free scores against skill, by measure and network",
            "Each point is a method, its mean over the images. With a trustworthy measure the points lie on a line.",
        ),
    )


def _cost(rows: Sequence[Standing]) -> Section | None:
    if not any(row.evaluations and row.skill is not None and not row.control for row in rows):
        return None
    return Section(
        "Cost against skill",
        figure(
            figures.cost(rows),
            "Skill of every method against evaluations of the network for each image",
            "Forward and backward passes for each image. Methods further left cost less, methods further up have more skill.",
        ),
    )


def _convergence(results: tmi.Results) -> Section | None:
    curves = {
        f"{NETWORKS.get(entry.network, entry.network)}{', seed ' + str(entry.seed) if entry.seed else ''}": results.load(entry)
        for entry in results
        if entry.probe == "convergence" and entry.status == "ok"
    }
    curves = {name: result for name, result in curves.items() if "error" in result.arrays and "step" in result.coords}
    if not curves:
        return None
    body = [
        (name, step, *(_median(result, kind, place) for kind in ("error", "awake")))
        for name, result in curves.items()
        for place, step in enumerate(result.coords["step"].tolist())
    ]
    return Section(
        "Integrated gradients and their closed form",
        paragraph(
            "On a constructed network the integral has a closed form. The error of Captum's sum falls like 1/steps, no faster: "
            "the gradient jumps where the neuron becomes active, and a sum cannot tell where between two points that is. Where "
            "the neuron is active on the whole path there is no jump and only rounding is left: Captum keeps the weights of its "
            "sum in single precision."
        )
        + figure(
            figures.convergence(curves),
            "Error of integrated gradients against the number of steps",
            "Median over the images; the band goes from the least to the greatest.",
        )
        + table(
            ("network", "steps", "relative error", "active on the whole path"),
            body,
            "Medians over the images, and over their tiles.",
        ),
    )


def _median(result: tmi.ProbeResult, kind: str, place: int) -> float | None:
    if kind not in result.arrays:
        return None
    errors = result.arrays[kind].values[place]
    known = errors[np.isfinite(errors)]
    return float(np.median(known)) if len(known) else None


def _layers(results: tmi.Results) -> Section | None:
    body = [
        (layer, row.network, row.method, _cell(row, False), next(iter(_refusals([row])), ""))
        for probe, layer in LAYERS.items()
        for methods in networks_of(standings(results, [probe], NETWORKS)).values()
        for row in sorted(methods.values(), key=lambda row: (row.skill is None, -(row.skill or 0)))
    ]
    if not body:
        return None
    return Section(
        "Layers and neurons",
        paragraph(
            "Layer methods attribute the label's logit to the neurons of a layer. On constructed networks they are scored "
            "against the neurons that stand for the shown tile at its place, on layers of maps against the tile's support in "
            "the image. Neuron methods attribute the most active neuron to pixels, and are scored against that neuron's own "
            "truth."
        )
        + table(("layer", "network", "method", "skill", "reason for a refusal"), body),
    )


@dataclass(frozen=True, eq=False)
class _Shown:
    """One image, its mask, and the maps on it by network and method; None where the method was refused."""

    image: NDArray[np.float64]
    mask: NDArray[np.bool_]
    maps: Maps
    origins: Mapping[str, str]

    def of(self, origin: str) -> list[str]:
        """Return the networks of one origin."""
        return [name for name in self.maps if self.origins[name] == origin]


def _shown(results: tmi.Results) -> _Shown | None:
    """Return the maps on the first kept image of the first seed."""
    chosen = [e for e in results if e.probe in METHODS and e.status == "ok" and "method" in e.swept]
    seed = min((entry.seed for entry in chosen), default=0)
    first: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None
    maps: Maps = {name: {} for name in NETWORKS.values()}
    origins: dict[str, str] = {}
    for entry in chosen:
        if entry.seed != seed:
            continue
        result = results.load(entry)
        name = NETWORKS.get(entry.network, entry.network)
        origins[name] = entry.record.get("network_origin", "")
        signed = None
        if "signed" in result.arrays:
            images = result.arrays["images"].values
            first = first or (images[0], result.arrays["masks"].values[0])
            same = [place for place, image in enumerate(images) if image.shape == first[0].shape and np.allclose(image, first[0])]
            signed = result.arrays["signed"].values[same[0]].astype(np.float64).sum(0) if same else None
        maps.setdefault(name, {})[entry.swept["method"]] = signed
    return None if first is None else _Shown(*first, {name: by_method for name, by_method in maps.items() if by_method}, origins)


def _fill_refused(maps: Maps, constructed: Sequence[str]) -> str:
    """Replace the maps that a fused network refuses by those of the same network as layers, and return a note about it."""
    if not constructed or f"{constructed[0]} as layers" not in maps:
        return ""
    fused, layers = maps[constructed[0]], maps[f"{constructed[0]} as layers"]
    names = [name for name, values in layers.items() if values is not None and fused.get(name, values) is None]
    maps[constructed[0]] = fused | {name: layers[name] for name in names}
    return f" Refused for the fused network, and shown for the same network as layers: {', '.join(names)}." if names else ""


def _difference(first: NDArray[np.float64] | None, second: NDArray[np.float64] | None) -> str | None:
    if first is None or second is None:
        return None
    largest = max(np.abs(first).max(), np.abs(second).max())
    return "both 0" if largest == 0 else f"{np.abs(first - second).max() / largest:.2g}"


def _refusals(rows: Iterable[Standing]) -> dict[str, list[str]]:
    """Return the refused methods by reason, without the controls that know the truth, which only constructed networks have."""
    refusals: dict[str, list[str]] = {}
    for row in rows:
        if row.refused and row.method not in TRUTH:
            more = len(row.refused) - 1
            reason = row.refused[0] + (f", and {more} more reason{'s' if more > 1 else ''}" if more else "")
            refusals.setdefault(reason, []).append(row.method)
    return refusals


def _cell(row: Standing | None, below: bool) -> str | None:
    if row is None:
        return None
    if row.skill is None:
        return "refused" if row.refused else None
    ends = " [{}, {}]".format(*map(figures.two_digits, row.interval)) if row.interval else ""
    return f"{_skill(row)}{ends}{' ▼' if below else ''}"


def _skill(row: Standing) -> str:
    return "–" if row.skill is None else figures.two_digits(row.skill)
