"""The report of suite ``attribution``: how near each method comes to the truth, and which measures rank methods as it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, folded, for_probes, paragraph, table
from tmi.runtime.plotting import figure_style

from . import figures, tables
from .cells import relabelled
from .comparisons import FreeMeasure, truth_free
from .comparisons import trust as trust_in
from .findings import cell, checks, in_words, left_out, on_architectures, refusals
from .labels import METHODS, NETWORKS
from .leaderboard import MethodScores, method_scores, networks_of
from .learnt import learnt_runs
from .report_maps import all_maps, same_function

if TYPE_CHECKING:
    import tmi


@for_probes("attribution-bench")
def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; a section without results is left out.

    Parameters
    ----------
    results : Results
        Of suite ``attribution``, of any other with probe ``attribution-bench``, or of a part of it.

    Returns
    -------
    list of Section
        The findings in words, the leaderboard, what training adds, whether saliency depends on the architecture, signed and
        unsigned rankings, maps, networks that compute the same function, which measure to trust, random
        weights, cost, the convergence of integrated gradients, layers and neurons.
    """
    results, failed = learnt_runs(results)
    results, layers = relabelled(results)
    rows = method_scores(results, METHODS, NETWORKS)
    measures = truth_free(results, METHODS)
    parts: list[Callable[[], Section | None]] = [
        lambda: _words(rows, failed),
        lambda: _leaderboard(rows),
        lambda: _training(rows),
        lambda: _architectures(rows),
        lambda: _signs(rows),
        lambda: all_maps(results, rows),
        lambda: same_function(results),
        lambda: _trust(rows, measures),
        lambda: _randomisation(results),
        lambda: _cost(rows),
        lambda: _convergence(results),
        lambda: _layers(results, layers),
    ]
    with figure_style(ink=any(entry.record.get("ink") for entry in results)):  # the maps shown are on one data set
        drawn = [part() for part in parts]
    return [section for section in drawn if section]


def _words(rows: Sequence[MethodScores], failed: Mapping[str, Sequence[int]]) -> Section | None:
    findings = [*left_out(failed), *in_words(rows)]
    if not findings:
        return None
    text = (
        "Attribution methods say which pixels decided. Here that is known: the pixels of the pasted tile. Skill is (score − "
        "chance)/(oracle − chance), averaged over the localisation measures of |a|: the true mask has skill 1, noise has skill "
        "0. A method that is no better than Sobel, which draws edges and does not use the network, or than itself on the "
        "network before training, says nothing about what was learnt. A constructed network depends on the tile alone, so low "
        "skill is the method's error; a trained network may depend on other pixels too."
    )
    rule = (
        "Better and worse are said where the interval of the paired difference, over the seeds, excludes 0 after Holm's "
        "correction for the number of methods of the network, and for the method of highest skill, which the data chose, for all "
        "pairs of methods. A network with fewer than three seeds has numbers and no words."
    )
    compared, refused = ([one for one in findings if mark in one] for mark in (". Compared with ", ". Refused: "))
    body = paragraph(text) + bullets(one for one in findings if one not in (*compared, *refused))
    if compared:
        body += folded("Every method beside the controls", paragraph(rule) + bullets(compared))
    if refused:
        body += folded("Methods that are refused, and why", bullets(refused))
    checked = checks(rows)
    if checked:
        title = "Controls, and attribution to the null region: pixels on which the logit provably does not depend"
        body += folded(title, bullets(checked))
    return Section("", body)


def _leaderboard(rows: Sequence[MethodScores]) -> Section | None:
    if not any(row.skill is not None for row in rows):
        return None
    head, body = tables.skills(rows)
    units = sorted({f"{row.estimate.units} {row.estimate.unit}" for row in rows if row.estimate})
    drawn = figure(
        figures.leaderboard(rows),
        "Skill of every attribution method on every network",
        f"Skill with 95 % intervals over {' or '.join(units)}. Controls are below the line. A method is refused where its "
        "numbers would be wrong without a sign of it.",
        narrow=figures.leaderboard(rows, columns=2) if len(networks_of(rows)) > 2 else None,
    )
    more = [
        (row.network, row.method, row.evaluations, row.zero_map, row.completeness)
        for row in rows
        if row.skill is not None and not row.control
    ]
    return Section(
        "Leaderboard",
        drawn
        + table(head, body, "Mean skill and 95 % interval. ▲ and ▼: shown to be better or worse than Sobel. A dash: not run.")
        + folded(
            "Evaluations of the network, maps that are 0 everywhere, completeness",
            table(("network", "method", "evaluations for each image", "all-zero maps", "relative error of completeness"), more),
        ),
    )


def _training(rows: Sequence[MethodScores]) -> Section | None:
    head, body = tables.training(rows)
    if not body:
        return None
    return Section(
        "What training adds",
        paragraph(
            "Each method on the trained network and on the same network before training, the same images. A map that is as good "
            "before training shows what the architecture and the method prefer, not what was learnt."
        )
        + table(head, body, "Differences are paired by seed; intervals are corrected for the number of methods of a network."),
    )


def _architectures(rows: Sequence[MethodScores]) -> Section | None:
    head, body = tables.architectures(rows, "saliency")
    if not body:
        return None
    return Section(
        "Does the plain gradient depend on the architecture?",
        paragraph(on_architectures(rows))
        + table(head, body, "Differences are paired by seed; intervals are corrected for the number of pairs."),
    )


def _signs(rows: Sequence[MethodScores]) -> Section | None:
    head, body = tables.signs(rows)
    if not body:
        return None
    return Section(
        "Signed and unsigned rankings",
        paragraph(
            "The leaderboard scores |a|: a map and its negation have the same skill. Here max(a, 0) is scored too, which is "
            "what supports the class. A measure that needs no truth and scores |a| is compared with the ranking by the skill of "
            "|a|, all others with that of max(a, 0)."
        )
        + table(head, body, "Kendall's τ-b between the rankings of all methods, corrected for the number of networks."),
    )


def _trust(rows: Sequence[MethodScores], measures: Sequence[FreeMeasure]) -> Section | None:
    trusts = trust_in(rows, measures)
    if not any(trust.agreement for trust in trusts):
        return None
    return Section(
        "Which measure may one trust where there is no truth?",
        paragraph(
            "Where the truth is not known, methods are ranked by measures that do not need it. Kendall's τ compares such a "
            "ranking with that by skill: 1 is the same ranking, 0 an unrelated one, −1 the reverse. Intervals are over the seeds "
            "and the methods, and corrected for the number of measures on a network; where an interval contains 0, no "
            "relation has been shown. A measure that is defined on fewer than half of the images, or on fewer than 10, has no τ. "
            "Controls are not ranked."
        )
        + table(*tables.trust(trusts), "Kendall's τ-b with its corrected interval, greatest first.")
        + folded(
            "On how many images each measure is defined",
            table(*tables.defined(trusts), "Of the seed and method with the fewest."),
        )
        + figure(
            figures.trust_scatter(rows, trusts),
            "Truth-free scores against skill, by measure and network",
            "Each point is a method, its mean over the images and seeds. With a trustworthy measure the points lie on a line.",
        ),
    )


def _randomisation(results: tmi.Results) -> Section | None:
    head, body = tables.randomisation(results)
    if not body:
        return None
    return Section(
        "Do the maps depend on the weights?",
        paragraph(
            "All layers of the trained network get random weights (Adebayo et al. 2018). Dependence is 1 − Spearman's "
            "correlation of the maps before and after: 0 for a method that ignores the weights, as Sobel does. Beside it stands "
            "the same of the method's maps of two different images: where the dependence on the weights is lower, part of a map "
            "stays when nothing that was learnt is left."
        )
        + table(
            head,
            body,
            "Means over the seeds with 95 % intervals. Higher and lower: the paired difference from maps of other images, "
            "corrected for the number of methods and networks.",
        ),
    )


def _cost(rows: Sequence[MethodScores]) -> Section | None:
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


def _layers(results: tmi.Results, layers: Mapping[str, str]) -> Section | None:
    body = [
        (layer, row.network, row.method, cell(row), next(iter(refusals([row])), ""))
        for probe, layer in layers.items()
        for methods in networks_of(method_scores(results, [probe], NETWORKS)).values()
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
