"""Claims of section 7: limits of templates, responsible neurons, sparsity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .claim import Claim

if TYPE_CHECKING:
    import tmi


def discussion_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims of section 7."""
    yield from ()
