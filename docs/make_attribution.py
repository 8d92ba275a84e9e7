"""Write the conclusions and tables of docs/attribution.md and draw its figures from the results of suite ``attribution``.

``python docs/make_attribution.py`` takes the results from the store (the variable ``TMI_STORE``, or the folder ``tmi-store``),
and computes those that are not there. Every sentence follows by rule from corrected intervals, see `tmi_attribution.findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from blocks import save, write_block

import tmi
from tmi.runtime.plotting import figure_style
from tmi_attribution import tables
from tmi_attribution.comparisons import Trust, trust, truth_free
from tmi_attribution.figures import ARROWS, PART_TEXTS, leaderboard, trust_scatter
from tmi_attribution.findings import cell, in_words, left_out, on_architectures, two_digits, verdict
from tmi_attribution.labels import METHODS, NETWORKS
from tmi_attribution.leaderboard import MethodScores, method_scores
from tmi_attribution.learnt import learnt_runs

PAGE = Path(__file__).with_name("attribution.md")


def main() -> None:
    """Compute what is missing, draw the figures, and write the blocks of the page."""
    results, failed = learnt_runs(tmi.run("attribution", workers=2))
    rows = method_scores(results, METHODS[:1], NETWORKS)
    trusts = trust(rows, truth_free(results, METHODS[:1]))
    write_block(PAGE, "attribution: findings", "\n".join(findings(rows, failed)))
    write_block(PAGE, "attribution: architectures", "\n".join(architectures(rows)))
    write_block(PAGE, "attribution: signs", "\n".join(markdown(*tables.signs(rows))))
    write_block(PAGE, "attribution: trust", "\n".join(trusted(trusts)))
    with figure_style():
        save("attribution-leaderboard", leaderboard(rows), 100)
        save("attribution-leaderboard-narrow", leaderboard(rows, columns=2), 100)
        save("attribution-trust", trust_scatter(rows, trusts), 100)


def findings(rows: Sequence[MethodScores], failed: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Return the sentences of the report, a list item each, without those about refusals."""
    yield from (f"- {sentence}" for sentence in left_out(failed))
    last = ""
    for sentence in in_words(rows):
        if ". Refused: " in sentence:
            continue
        network, _, words = sentence.partition(". ")
        if network != last:
            yield f"- **{network}**"
            last = network
        yield f"  - {words}"


def architectures(rows: Sequence[MethodScores], method: str = "saliency") -> Iterator[str]:
    """Return whether a method depends on the architecture, its skill on each trained network, and the differences."""
    yield on_architectures(rows, method)
    yield ""
    body = [
        (row.network, cell(row), ", ".join(two_digits(value) for value in row.by_seed.values())) for row in _trained(rows, method)
    ]
    yield from markdown(("network", f"skill of {method}, 95 % interval over the seeds", "seed by seed"), body)
    yield ""
    yield from markdown(*tables.architectures(rows, method))


def trusted(trusts: Sequence[Trust]) -> Iterator[str]:
    """Return a row a measure: the range of τ over the networks, on how many images it is defined, and the verdict."""
    body = []
    for measure, of in tables.by_measure(trusts).items():
        taus = [each.agreement.value for each in of.values() if each.agreement]
        counts = [each.defined for each in of.values()]
        spread = f"{two_digits(min(taus))} to {two_digits(max(taus))}" if taus else "–"
        fewest = min(counts, key=lambda count: count[0] / max(1, count[1]))
        name = f"{measure.name.replace('_', '-')} {ARROWS[measure.better]}"
        body.append((name, PART_TEXTS[measure.part], spread, "{} of {}".format(*fewest), verdict(list(of.values()))))
    yield from markdown(
        ("measure", "compared with the skill of", "τ, least to greatest", "defined on, at least", "so it ranks"), body
    )


def markdown(head: Sequence[str], body: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Return the lines of a table; a dash where there is no value."""
    yield f"| {' | '.join(map(_escaped, head))} |"
    yield "|---" * len(head) + "|"
    for row in body:
        yield f"| {' | '.join('–' if value is None else _escaped(str(value)) for value in row)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _trained(rows: Sequence[MethodScores], method: str) -> list[MethodScores]:
    return [row for row in rows if row.method == method and row.origin == "trained" and np.isfinite(row.skills).any()]


if __name__ == "__main__":
    main()
