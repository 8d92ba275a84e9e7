"""The report of suite ``attribution``: which methods tell the truth, and which measure would have said so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tmi.report.html import Section, bullets, figure, folded, paragraph, table
from tmi.runtime.plotting import house_style

from . import figures
from .leaderboard import EDGES, TRUTH, Standing, Trust, below_edges, networks_of, ranked, standings, trust, truth_free

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
"""Labels of the probes that look at a layer, and what is attributed."""

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
"""How the report calls the networks, and their order."""

GRADIENTS = ("saliency", "input-x-gradient", "integrated-gradients", "deeplift", "guided-backprop", "deconvolution")
"""Methods that follow gradients, to be shown on networks that compute the same function."""

CENTRE = "centre-prior"
"""The control that knows only that what is shown is often in the middle."""

_BEST = 3


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``attribution``, or of a part of it.

    Returns
    -------
    list of Section
        The answer in words, the leaderboard, maps, networks that compute the same function, which measure to trust, cost, the
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
    with house_style():
        found = [part() for part in parts]
    return [section for section in found if section is not None]


def in_words(rows: Sequence[Standing]) -> list[str]:
    """Say of each network which methods are best, which are worse than Sobel, and which are refused.

    Parameters
    ----------
    rows : sequence of Standing

    Returns
    -------
    list of str
        Sentences, a few a network.
    """
    found = []
    for network, of in networks_of(rows).items():
        ranking = [of[name] for name in ranked(list(of.values())) if not of[name].control and of[name].skill is not None]
        said = []
        if ranking:
            said = [f"Best: {', '.join(f'{row.method} ({_skill(row)})' for row in ranking[:_BEST])}."]
            said += [*_beside_edges(of), *_beside_centre(of, ranking)]
        said += [f"Refused: {', '.join(names)}: {reason}." for reason, names in _refusals(of.values()).items()]
        found += [f"{network}. {sentence}" for sentence in said]
    return found


def checks(rows: Sequence[Standing]) -> list[str]:
    """Say whether the controls are where they must be, and which methods leak where a network provably does not look.

    Parameters
    ----------
    rows : sequence of Standing
    """
    found = []
    oracle = [row for row in rows if row.method == "oracle" and row.skill is not None]
    if oracle:
        right = sum(abs((row.skill or 0) - 1) < 1e-9 for row in oracle)
        found.append(f"The identity oracle has skill 1 on {right} of {len(oracle)} networks.")
    random = [(row, row.interval) for row in rows if row.method == "random" and row.interval is not None]
    if random:
        right = sum(between is not None and between[0] <= 0 <= between[1] for _, between in random)
        found.append(f"The interval of a random map's skill holds 0 on {right} of {len(random)} networks.")
    for network, of in networks_of(rows).items():
        leaks = {
            name: row.measures["null_leakage"]
            for name, row in of.items()
            if not row.control and "null_leakage" in row.measures and np.isfinite(row.measures["null_leakage"]).any()
        }
        empty = [name for name, row in of.items() if not row.control and row.zero_map == 1]
        none = [name for name, leak in leaks.items() if np.nanmax(leak) == 0]
        some = [f"{name} ({np.nanmean(leak):.2g})" for name, leak in leaks.items() if name not in none]
        if leaks:
            says = [f"Attribution where the network provably does not look is exactly 0 for {', '.join(none) or 'none'}"]
            says += [f"not for {', '.join(some)}"] if some else []
            says += [f"all maps of {', '.join(empty)} are 0 everywhere, and score what a constant map scores"] if empty else []
            found.append(f"{network}. {'; '.join(says)}.")
    return found


def verdict(found: Sequence[Trust]) -> str:
    """Say in a few words whether a measure ranks methods as the truth does.

    Parameters
    ----------
    found : sequence of Trust
        Of one measure, on several networks.
    """
    known = [one.agreement for one in found if one.agreement is not None]
    with_truth = sum(a.low > 0 for a in known)
    against = sum(a.high < 0 for a in known)
    if not known:
        return "too few methods"
    if with_truth == len(known):
        return "ranks as the truth does on every network"
    if against == len(known):
        return "ranks against the truth on every network"
    says = [f"as the truth does on {with_truth}"] if with_truth else []
    says += [f"against it on {against}"] if against else []
    rest = len(known) - with_truth - against
    says += [f"undecided on {rest}"] if rest else []
    return f"{', '.join(says)} of {len(known)}"


def _beside_edges(of: Mapping[str, Standing]) -> list[str]:
    """Who is worse than Sobel; nothing where Sobel was not run."""
    edges = of.get(EDGES)
    if edges is None or edges.skill is None:
        return []
    below = below_edges(list(of.values()))
    if not below:
        return [f"No method is worse than Sobel ({_skill(edges)})."]
    surely, perhaps = (
        ", ".join(f"{row.method} ({_skill(row)})" for row, sure in below if sure == which) for which in (True, False)
    )
    named = "; ".join(filter(None, [surely, perhaps and f"within the interval of the difference: {perhaps}"]))
    return [
        f"Worse than Sobel ({_skill(edges)}), which never looked at the network: {named}. "
        f"{'This method has' if len(below) == 1 else 'These methods have'} told nobody anything."
    ]


def _beside_centre(of: Mapping[str, Standing], ranking: Sequence[Standing]) -> list[str]:
    """Who is worse than a guess at the middle of the image."""
    middle = of.get(CENTRE)
    if middle is None or middle.skill is None:
        return []
    passed = [row.method for row in ranking if row.skill is not None and row.skill < middle.skill]
    named = "every method" if len(passed) == len(ranking) else ", ".join(passed)
    return [f"A prior for the middle of the image ({_skill(middle)}) does better than {named}."] if passed else []


def _words(rows: Sequence[Standing]) -> Section | None:
    said = in_words(rows)
    if not said:
        return None
    text = (
        "Attribution methods say which pixels decided. Here that is known: the pixels of the pasted tile. Skill is (score − "
        "chance)/(oracle − chance), averaged over the localisation measures: 1 says what the truth says, 0 what noise says. A "
        "method that does worse than Sobel, which draws edges and never looks at the network, has told nobody anything. A "
        "constructed network looks at the tile alone, so there low skill is the method's fault; a trained network may itself "
        "look elsewhere."
    )
    body = paragraph(text) + bullets(said)
    checked = checks(rows)
    return Section("", body + (folded("Controls, and leakage where nothing can be", bullets(checked)) if checked else ""))


def _leaderboard(rows: Sequence[Standing]) -> Section | None:
    if not any(row.skill is not None for row in rows):
        return None
    networks = networks_of(rows)
    head = ("method", *networks)
    names = ranked(rows)
    below = {(row.network, row.method) for of in networks.values() for row, _ in below_edges(list(of.values()))}
    body = [(name, *(_cell(of.get(name), (network, name) in below) for network, of in networks.items())) for name in names]
    drawn = figure(
        figures.leaderboard(rows),
        "Skill of every attribution method on every network",
        "Skill with 95 % bootstrap intervals over the images of all seeds. Controls stand below the line. A method is refused "
        "where its numbers would be silently wrong.",
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
            table(("network", "method", "evaluations an image", "all-zero maps", "error of completeness, relative"), more),
        ),
    )


def _maps(results: tmi.Results, rows: Sequence[Standing]) -> Section | None:
    shown = _shown(results)
    if shown is None:
        return None
    image, mask, maps = shown
    names = [name for name in ranked(rows) if any(of.get(name) is not None for of in maps.values())]
    constructed, trained = ([name for name in maps if name.startswith(kind)] for kind in ("constructed", "trained"))
    pair = [*constructed[:1], *trained[:1]]
    lent = _lend(maps, constructed)
    caption = (
        "Signed attributions of the label's logit, each map scaled alone: red speaks for the label, blue against it. The "
        "outline is the tile's support."
    )
    body = figure(
        figures.map_grid(image, mask, {name: maps[name] for name in pair}, names),
        "The maps of all attribution methods on one image",
        caption + lent,
    )
    others = [name for name in trained if name not in pair]
    if others:
        tried = [name for name in names if any(name in maps[other] for other in others)]
        drawn = figures.map_grid(image, mask, {name: maps[name] for name in others}, tried, columns=3)
        body += folded(
            "The other trained networks",
            figure(drawn, "The maps of all attribution methods on one image, on the other trained networks", caption),
        )
    return Section("The maps of all methods on one image", body)


def _same_function(results: tmi.Results) -> Section | None:
    shown = _shown(results)
    if shown is None:
        return None
    image, mask, maps = shown
    of = {name: found for name, found in maps.items() if name.startswith("constructed")}
    methods = [name for name in GRADIENTS if sum(found.get(name) is not None for found in of.values()) > 1]
    if len(of) < 2 or not methods:
        return None
    body = []
    for method in methods:
        first, reference = next((name, found[method]) for name, found in of.items() if found.get(method) is not None)
        apart = {name: _apart(reference, found.get(method)) for name, found in of.items()}
        body.append((method, *("compared with" if name == first else apart[name] for name in of)))
    return Section(
        "The same function, other attributions",
        paragraph(
            "These networks compute the same logits. Theorem 1 fused and Theorem 1 as layers have the same gradients too, and "
            "get the same maps. Theorem 2 is built from other neurons: where a tile matches exactly its ReLUs stand at their "
            "kink and the gradient is 0; as layers, rounding carries some of them past it. What follows: an attribution is a "
            "property of the network, not of the function that it computes, and a map that is 0 does not say that the pixels do "
            "not matter."
        )
        + figure(
            figures.side_by_side(image, mask, of, methods),
            "Maps of gradient methods on networks that compute the same function",
            "The same image on constructed networks. Each map is scaled alone; red speaks for the label, blue against it.",
        )
        + table(("method", *of), body, "Largest difference between two maps, over the largest attribution of the two."),
    )


def _trust(rows: Sequence[Standing], measures: Mapping[str, str]) -> Section | None:
    found = trust(rows, measures)
    if not any(one.agreement for one in found):
        return None
    found = [one for one in found if one.agreement]
    networks = list(dict.fromkeys(one.network for one in found))
    by_measure: dict[str, dict[str, Trust]] = {}
    for one in found:
        by_measure.setdefault(one.measure, {})[one.network] = one

    def strength(item: tuple[str, dict[str, Trust]]) -> float:
        return -float(np.mean([one.agreement.tau for one in item[1].values() if one.agreement]))

    body = [
        (
            f"{measure.replace('_', '-')} {figures.ARROWS[measures[measure]]}",
            *(_tau(of.get(network)) for network in networks),
            verdict(list(of.values())),
        )
        for measure, of in sorted(by_measure.items(), key=strength)
    ]
    return Section(
        "Which measure may one trust where there is no truth?",
        paragraph(
            "Where the truth is not known, methods are ranked by measures that do not need it. Kendall's τ says how alike their "
            "ranking and the truth's are: 1 the same, 0 nothing in common, −1 reversed. Intervals are of images drawn anew; a "
            "measure whose interval holds 0 has not been shown to know anything. Controls are not ranked."
        )
        + table(
            ("measure", *networks, "so it ranks"), body, "Kendall's τ-b with its 95 % interval, most trustworthy measure first."
        )
        + figure(
            figures.trust_scatter(rows, found),
            "Truth-free scores against skill, by measure and network",
            "Each point is a method, its mean over the images. A measure to trust lines them up.",
        ),
    )


def _cost(rows: Sequence[Standing]) -> Section | None:
    if not any(row.evaluations and row.skill is not None and not row.control for row in rows):
        return None
    return Section(
        "Cost against skill",
        figure(
            figures.cost(rows),
            "Skill of every method against evaluations of the network an image",
            "Forward and backward passes an image. Further left costs less, further up says more.",
        ),
    )


def _convergence(results: tmi.Results) -> Section | None:
    found = {
        f"{NETWORKS.get(entry.network, entry.network)}{', seed ' + str(entry.seed) if entry.seed else ''}": results.load(entry)
        for entry in results
        if entry.probe == "convergence" and entry.status == "ok"
    }
    found = {name: result for name, result in found.items() if "error" in result.arrays and "step" in result.coords}
    if not found:
        return None
    body = [
        (name, step, *(_middle(result, kind, place) for kind in ("error", "awake")))
        for name, result in found.items()
        for place, step in enumerate(result.coords["step"].tolist())
    ]
    return Section(
        "Integrated gradients and their closed form",
        paragraph(
            "On a constructed network the integral has a closed form. Captum's sum approaches it like 1/steps, no faster: the "
            "gradient jumps where the neuron wakes, and a sum does not know where between two points that is. Where the whole "
            "path is active there is no jump, and only rounding is left: Captum keeps the weights of its sum in single precision."
        )
        + figure(
            figures.convergence(found),
            "Error of integrated gradients against the number of steps",
            "Median over the images; the band goes from the least to the greatest.",
        )
        + table(
            ("network", "steps", "relative error", "awake on the whole path"),
            body,
            "Medians over the images, and over their tiles.",
        ),
    )


def _middle(result: tmi.ProbeResult, kind: str, place: int) -> float | None:
    if kind not in result.arrays:
        return None
    errors = result.arrays[kind].values[place]
    known = errors[np.isfinite(errors)]
    return float(np.median(known)) if len(known) else None


def _layers(results: tmi.Results) -> Section | None:
    body = [
        (what, row.network, row.method, _cell(row, False), next(iter(_refusals([row])), ""))
        for probe, what in LAYERS.items()
        for of in networks_of(standings(results, [probe], NETWORKS)).values()
        for row in sorted(of.values(), key=lambda row: (row.skill is None, -(row.skill or 0)))
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
        + table(("what", "network", "method", "skill", "why not"), body),
    )


def _shown(results: tmi.Results) -> tuple[NDArray[np.float64], NDArray[np.bool_], Maps] | None:
    """The first kept image of the first seed, its mask, and the maps on it by network and method; None where refused."""
    chosen = [e for e in results if e.probe in METHODS and e.status == "ok" and "method" in e.swept]
    if not chosen:
        return None
    seed = min(entry.seed for entry in chosen)
    shown: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None
    found: Maps = {name: {} for name in NETWORKS.values()}
    for entry in chosen:
        if entry.seed != seed:
            continue
        result = results.load(entry)
        signed = None
        if "signed" in result.arrays:
            images = result.arrays["images"].values
            shown = shown or (images[0], result.arrays["masks"].values[0])
            same = [place for place, image in enumerate(images) if image.shape == shown[0].shape and np.allclose(image, shown[0])]
            signed = result.arrays["signed"].values[same[0]].astype(np.float64).sum(0) if same else None
        found.setdefault(NETWORKS.get(entry.network, entry.network), {})[entry.swept["method"]] = signed
    return None if shown is None else (*shown, {name: of for name, of in found.items() if of})


def _lend(maps: Maps, constructed: Sequence[str]) -> str:
    """Fill in what a fused network refuses from the same network as layers, and say so."""
    if not constructed or f"{constructed[0]} as layers" not in maps:
        return ""
    fused, layers = maps[constructed[0]], maps[f"{constructed[0]} as layers"]
    lent = [name for name, found in layers.items() if found is not None and fused.get(name, found) is None]
    maps[constructed[0]] = fused | {name: layers[name] for name in lent}
    return f" Refused by the fused network, and shown as the same network as layers has them: {', '.join(lent)}." if lent else ""


def _apart(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> str | None:
    if one is None or other is None:
        return None
    largest = max(np.abs(one).max(), np.abs(other).max())
    return "both 0" if largest == 0 else f"{np.abs(one - other).max() / largest:.2g}"


def _refusals(rows: Iterable[Standing]) -> dict[str, list[str]]:
    """The refused methods by reason; exact attributions are known of constructed networks alone, which is no refusal."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.refused and row.method not in TRUTH:
            more = len(row.refused) - 1
            reason = row.refused[0] + (f", and {more} more reason{'s' if more > 1 else ''}" if more else "")
            found.setdefault(reason, []).append(row.method)
    return found


def _cell(row: Standing | None, below: bool) -> str | None:
    if row is None:
        return None
    if row.skill is None:
        return "refused" if row.refused else None
    between = row.interval
    shown = f"{_skill(row)} [{_two(between[0])}, {_two(between[1])}]" if between else _skill(row)
    return f"{shown}{' ▼' if below else ''}"


def _tau(one: Trust | None) -> str | None:
    if one is None or one.agreement is None:
        return None
    a = one.agreement
    return f"{_two(a.tau)} [{_two(a.low)}, {_two(a.high)}]"


def _skill(row: Standing) -> str:
    return "–" if row.skill is None else _two(row.skill)


def _two(value: float) -> str:
    """Two digits behind the point, and no minus before a 0."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
