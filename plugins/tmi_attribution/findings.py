"""What the results of suite ``attribution`` show, in words. Every verdict follows by rule from an interval over the seeds.

"Better", "worse" and "differ" are said where the interval of a paired difference excludes 0 after Holm's correction for the
number of comparisons in the same list, and nowhere else. Networks with fewer than `FEWEST_SEEDS` seeds have numbers and no words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .comparisons import CENTRE, EDGES, Trust, against, against_best, against_untrained, between_networks
from .leaderboard import TRUTH, MethodScores, networks_of

if TYPE_CHECKING:
    from tmi.statistics import Estimate

    Compared = Sequence[tuple[MethodScores, Estimate]]

FEWEST_SEEDS = 3
"""With fewer seeds nothing is said of a network in words."""


def in_words(rows: Sequence[MethodScores]) -> list[str]:
    """Return for each network which methods stand first, which differ from the controls, and which are refused.

    Parameters
    ----------
    rows : sequence of MethodScores

    Returns
    -------
    list of str
        A few sentences for each network.
    """
    findings = []
    for network, methods in networks_of(rows).items():
        seeds = _seeds_of(methods)
        sentences = [*_best(methods), *_against_controls(methods)] if seeds >= FEWEST_SEEDS else []
        if 0 < seeds < FEWEST_SEEDS:
            sentences = [f"{seeds} seed{'s' if seeds > 1 else ''}, too few to compare methods."]
        sentences += [f"Refused: {', '.join(names)}: {reason}." for reason, names in refusals(methods.values()).items()]
        findings += [f"{network}. {sentence}" for sentence in sentences]
    return findings


def left_out(seeds: Mapping[str, Sequence[int]]) -> list[str]:
    """Return a sentence for each network with runs that did not learn their task, see `learnt.learnt_runs`."""
    return [
        f"Left out: {network}, seed{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}: the network did not learn its task, "
        "for its accuracy is above chance by at most half of what is possible."
        for network, of in seeds.items()
    ]


def grouped(compared: Compared, *, every: str = "every method") -> str:
    """Return "better: …; worse: …; not shown to differ: …" of the methods that are compared with something."""
    groups: dict[str, list[str]] = {"higher": [], "lower": [], "not shown to differ": []}
    for row, difference in compared:
        groups[difference.direction].append(row.method)
    words = {"higher": "better", "lower": "worse", "not shown to differ": "not shown to differ"}
    named = ((words[group], every if len(names) == len(compared) else ", ".join(names)) for group, names in groups.items())
    return "; ".join(f"{word}: {names}" for word, names in named if names)


def on_architectures(rows: Sequence[MethodScores], method: str = "saliency") -> str:
    """Return whether a method's skill is shown to differ between the trained networks; empty for fewer than two networks.

    Parameters
    ----------
    rows : sequence of MethodScores
    method : str
    """
    compared = [found for found in between_networks(rows, method) if found[2].units >= FEWEST_SEEDS]
    if not compared:
        return ""
    seeds = min(difference.units for _, _, difference in compared)
    shown = [
        f"{first} and {second} ({two_digits(difference.value)} [{two_digits(difference.low)}, {two_digits(difference.high)}])"
        for first, second, difference in compared
        if difference.shown
    ]
    pairs = f"{len(compared)} pair{'s' if len(compared) > 1 else ''} of trained networks, {seeds} seeds"
    if not shown:
        return f"The skill of {method} is not shown to depend on the architecture: no difference between the {pairs}, is shown."
    return f"The skill of {method} is shown to differ between {'; '.join(shown)}: {len(shown)} of {pairs}."


def checks(rows: Sequence[MethodScores]) -> list[str]:
    """Return whether the controls score as they must, and which methods attribute to the null region, where seeds are enough.

    Parameters
    ----------
    rows : sequence of MethodScores
    """
    findings = []
    rows = [row for methods in networks_of(rows).values() if _seeds_of(methods) >= FEWEST_SEEDS for row in methods.values()]
    oracle = [row for row in rows if row.method == "oracle" and row.skill is not None]
    if oracle:
        right = sum(abs((row.skill or 0) - 1) < 1e-9 for row in oracle)
        findings.append(f"The oracle has skill 1 on {right} of {len(oracle)} networks.")
    random = [row.estimate for row in rows if row.method == "random" and row.estimate is not None]
    if random:
        right = sum(not found.shown for found in random)
        findings.append(f"The interval of a random map's skill contains 0 on {right} of {len(random)} networks.")
    for network, methods in networks_of(rows).items():
        leaks = {
            name: row.measures["null_leakage"]
            for name, row in methods.items()
            if not row.control and "null_leakage" in row.measures and np.isfinite(row.measures["null_leakage"]).any()
        }
        all_zero = [name for name, row in methods.items() if not row.control and row.zero_map == 1]
        none = [name for name, leak in leaks.items() if np.nanmax(leak) == 0]
        some = [f"{name} ({np.nanmean(leak):.2g})" for name, leak in leaks.items() if name not in none]
        if leaks:
            parts = [f"Attribution to the null region is exactly 0 for {', '.join(none) or 'none'}"]
            parts += [f"not for {', '.join(some)}"] if some else []
            parts += [f"all maps of {', '.join(all_zero)} are 0 everywhere, and score as a constant map"] if all_zero else []
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
    if not known:
        return "defined on too few images, or too few methods"
    shown = [agreement.value > 0 for agreement in known if agreement.shown]
    with_truth, against_it, rest = sum(shown), len(shown) - sum(shown), len(known) - len(shown)
    if with_truth == len(trusts):
        return "ranks as the truth does on every network"
    if against_it == len(trusts):
        return "ranks against the truth on every network"
    parts = [f"as the truth does on {with_truth}"] if with_truth else []
    parts += [f"against it on {against_it}"] if against_it else []
    parts += [f"no relation shown on {rest}"] if rest else []
    parts += [f"not defined on {len(trusts) - len(known)}"] if len(trusts) > len(known) else []
    return f"{', '.join(parts)} of {len(trusts)}"


def refusals(rows: Iterable[MethodScores]) -> dict[str, list[str]]:
    """Return the refused methods by reason, without the controls that know the truth, which only constructed networks have."""
    refusals: dict[str, list[str]] = {}
    for row in rows:
        if row.refused and row.method not in TRUTH:
            more = len(row.refused) - 1
            reason = row.refused[0] + (f", and {more} more reason{'s' if more > 1 else ''}" if more else "")
            refusals.setdefault(reason, []).append(row.method)
    return refusals


def skill_text(row: MethodScores) -> str:
    """Return a mean skill with two digits."""
    return "–" if row.skill is None else two_digits(row.skill)


def cell(row: MethodScores | None, difference: Estimate | None = None) -> str | None:
    """Return a mean skill with its interval, ▲ or ▼ where it is shown to be better or worse than what it is compared with."""
    if row is None:
        return None
    if row.skill is None:
        return "refused" if row.refused else None
    found = row.estimate
    ends = f" [{two_digits(found.low)}, {two_digits(found.high)}]" if found else ""
    mark = {"higher": " ▲", "lower": " ▼"}.get(difference.direction, "") if difference else ""
    return f"{skill_text(row)}{ends}{mark}"


def two_digits(value: float) -> str:
    """Return a number with two digits behind the point, and no minus before a 0."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _seeds_of(methods: Mapping[str, MethodScores]) -> int:
    return max((len(row.by_seed) for row in methods.values()), default=0)


def _best(methods: Mapping[str, MethodScores]) -> list[str]:
    first, others = against_best(list(methods.values()))
    if first is None:
        return []
    close = [f"{row.method} ({skill_text(row)})" for row, difference in others if not difference.shown]
    which = ("every other method" if len(close) == len(others) else ", ".join(close)) if close else "no other method"
    return [f"Highest skill: {first.method} ({skill_text(first)}). Not shown to differ from it: {which}."]


def _against_controls(methods: Mapping[str, MethodScores]) -> list[str]:
    rows = list(methods.values())
    sentences = []
    for control, what in ((EDGES, "Sobel, which does not use the network"), (CENTRE, "a prior for the middle of the image")):
        compared = against(rows, control)
        if compared:
            sentences.append(f"Compared with {what} ({skill_text(methods[control])}), {grouped(compared)}.")
    compared = against_untrained(rows)
    if compared:
        sentences.append(f"Compared with the same network before training, {grouped(compared)}.")
    return sentences
