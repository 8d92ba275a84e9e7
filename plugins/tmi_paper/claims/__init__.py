"""The claims of the paper, each with a criterion that can fail and what was measured. Every number comes from results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .claim import Claim
from .fashion import fashion_claims
from .sparsity import sparsity_claims
from .squares import squares_claims
from .templates import template_claims
from .theorems import theorem_claims
from .units import unit_claims

if TYPE_CHECKING:
    import tmi

__all__ = ["Claim", "claims"]


def claims(results: tmi.Results) -> list[Claim]:
    """Return the claims about which there are results, in the paper's order."""
    return [
        *theorem_claims(results),
        *squares_claims(results),
        *fashion_claims(results),
        *unit_claims(results),
        *template_claims(results),
        *sparsity_claims(results),
    ]
