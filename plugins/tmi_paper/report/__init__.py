"""The report of suite ``paper``: the claims with what was measured, and the figures, in the paper's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tmi.report import Section, bullets, paragraph, table
from tmi.runtime.plotting import figure_style

from ..claims import Claim, claims
from ..remarks import REMARKS
from .attributions import attributions
from .images import images
from .section_6_1 import squares
from .section_6_2 import figure_4, neurons, tiles_per_class
from .section_7 import continuous, decomposed, sparse
from .summary import plain_summary

if TYPE_CHECKING:
    import tmi


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``paper``, or of a part of it.

    Returns
    -------
    list of Section
        Summary, claims, images, sections 6.1 and 6.2, Figure 4, neurons, section 7, attributions, remarks.
    """
    parts: tuple[Callable[[tmi.Results], Section | None], ...] = (
        _summary,
        _claims,
        images,
        squares,
        tiles_per_class,
        figure_4,
        neurons,
        decomposed,
        sparse,
        continuous,
        attributions,
        _remarks,
    )
    with figure_style():
        drawn = [part(results) for part in parts]
    return [section for section in drawn if section is not None]


def _summary(results: tmi.Results) -> Section:
    return Section("", "".join(paragraph(text) for text in plain_summary(results)))


def _claims(results: tmi.Results) -> Section | None:
    stated = claims(results)
    if not stated:
        return None
    body = paragraph(
        "Each row states its criterion before its verdict. Numbers are the mean ± the standard deviation over seeds (n − 1), "
        "with the number of seeds and the range; the seed is the unit of inference of a trained network."
    )
    head = ("where", "the paper says", "criterion", "measured", "verdict")
    of_paper, ours = ([claim for claim in stated if claim.of_paper is said] for said in (True, False))
    if of_paper:
        body += table(head, _rows(of_paper))
        failed = [f"{claim.where}: {claim.paper}" for claim in of_paper if not claim.holds]
        if failed:
            body += paragraph(f"{len(failed)} of {len(of_paper)} claims of the paper do not hold:") + bullets(failed)
    if ours:
        body += paragraph("The paper does not claim the following; it asks for them, or leaves them open.")
        body += table(("where", "statement", *head[2:]), _rows(ours))
    return Section("The paper's claims", body)


def _rows(stated: list[Claim]) -> list[tuple[str, ...]]:
    return [(claim.where, claim.paper, claim.criterion, claim.here, claim.verdict) for claim in stated]


def _remarks(results: tmi.Results) -> Section:
    return Section("What the paper gets wrong or leaves open", table(("", "the paper", "here"), REMARKS))
