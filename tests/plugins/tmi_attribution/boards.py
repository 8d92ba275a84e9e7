"""Results of suite ``attribution`` whose every number is chosen: methods of known skill on networks of known names."""

from __future__ import annotations

import numpy as np

import tmi
from tmi.runs.results import Entry
from tmi_attribution.scoring import skill_by_image

CONTROLS = ("random", "sobel", "centre-prior", "oracle")
LOCALISING, FREE = ("mass", "auc"), ("deletion", "insertion", "infidelity")
BETTER = {"deletion": "lower", "infidelity": "lower"}
SIDE = 12


def scored(
    skill,
    *,
    evaluations=10.0,
    seed=0,
    images=12,
    noise=0.02,
    spread=0.0,
    again=None,
    leakage=None,
    method="",
    positive=None,
    untrained=None,
) -> tmi.ProbeResult:
    """A method of exactly this mean skill over the seeds 0 to 4, whose truth-free scores rise (insertion) or fall with it.

    ``spread`` is the standard deviation between those seeds.
    """
    rng = np.random.default_rng([seed, round(abs(skill) * 1000)])
    shifts = np.random.default_rng(round(abs(skill) * 1000)).normal(size=5)
    skill = skill + spread * float(((shifts - shifts.mean()) / shifts.std(ddof=1))[seed % 5])
    names = [*LOCALISING, *FREE, "null_leakage"]
    drawn = rng.normal(size=(len(names), images)) * noise
    drawn -= drawn.mean(1, keepdims=True)
    level = np.array([0.2 + 0.6 * skill] * 2 + [-skill, skill, 10.0 ** (3 * skill), leakage or 0.0])
    score = level[:, None] + drawn
    if leakage is None:
        score[-1] = np.nan
    if leakage == 0:
        score[-1] = 0
    if again is not None:
        score[3, again:] = np.nan
    chance, oracle = np.full(score.shape, 0.2), np.full(score.shape, 0.8)
    each = skill_by_image(score[:2], chance[:2], oracle[:2])
    mask = np.zeros((2, SIDE, SIDE), bool)
    mask[0, 3:8, 4:9], mask[1, 1:6, 1:6] = True, True
    pictures = np.random.default_rng(seed).random((2, 1, SIDE, SIDE))
    signed = skill * mask[:, None] + rng.normal(size=(2, 1, SIDE, SIDE)) * 0.3
    info = {name: tmi.MetricInfo(name, BETTER.get(name, "higher")) for name in FREE}
    return tmi.ProbeResult(
        {
            "refused": 0,
            "skill.mean": skill,
            "skill.mass": skill,
            "skill.mass.low": skill - 0.1,
            "skill.auc": skill,
            "evaluations": evaluations,
            "zero_map": 0,
            **{name: float(np.nanmean(row)) for name, row in zip(names, score, strict=True) if np.isfinite(row).any()},
        },
        {
            "score": (("measure", "image"), score),
            "chance": (("measure", "image"), chance),
            "oracle": (("measure", "image"), oracle),
            "images": (("kept", "channel", "row", "col"), pictures),
            "masks": (("kept", "row", "col"), mask),
            "signed": (("kept", "channel", "row", "col"), signed),
            "skill": (("image",), each),
            "skill_positive": (("image",), each.copy() if positive is None else each - skill + positive),
            **({} if untrained is None else {"skill_untrained": (("image",), each - skill + untrained)}),
            "tile": (("image",), np.arange(images) % 4),
            "asked": (("measure",), [images if name != "insertion" or again is None else again for name in names]),
            "scored": (("measure",), ["absolute" if name in LOCALISING else "signed" for name in names]),
            "truth_free": (("measure",), [name in FREE for name in names]),
            "control": (("method",), [method in CONTROLS]),
        },
        {"measure": names},
        info,
    )


def refused(why="MaxPool2d stands next to a ReLU") -> tmi.ProbeResult:
    return tmi.ProbeResult({"refused": 1}, {"control": (("method",), [False])}, notes=[f"refused: {why}"])


def converging(images=5) -> tmi.ProbeResult:
    steps = np.array([4, 16, 64, 256])
    errors = np.random.default_rng(0).uniform(0.5, 1.5, (4, images)) / steps[:, None]
    return tmi.ProbeResult(
        {f"error.{s}": float(e.mean()) for s, e in zip(steps, errors, strict=True)},
        {"error": (("step", "image"), errors)},
        {"step": steps},
    )


def entry(network, method, result, seed=0, probe="methods", *, dataset="fashion", use="", settings=(), swept=None) -> Entry:
    """Of suite ``attribution``; of another one with the registered probe ``use``, its settings, and other labels."""
    swept = {**({} if method is None else {"method": method}), **(swept or {})}
    record = {"network_origin": "constructed" if network.startswith("theorem") else "trained"}
    if use:
        record["probe"] = {
            "name": use,
            "params": {"method": method, **dict(settings)},
            "uses": [{"kind": "method", "name": method}],
        }
    metrics = dict(result.metrics)
    return Entry("", dataset, network, probe, seed, swept, "ok", None, metrics, record=record, notes=result.notes, _result=result)


def board(skills, seeds=(0,), **settings) -> tmi.Results:
    """Results of ``{network: {method: skill}}``; None where the method is refused."""
    entries = [
        entry(network, method, refused() if skill is None else scored(skill, seed=seed, method=method, **settings), seed)
        for network, of in skills.items()
        for method, skill in of.items()
        for seed in seeds
    ]
    return tmi.Results(entries, columns={"method": "probe"}, report="attribution")


def bench(net, data, method="saliency", **settings):
    """Run the bench on a few images."""
    return tmi.probe("attribution-bench", net, data, method=method, **({"images": 12} | settings))
