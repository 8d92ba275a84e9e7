"""What measures declare besides their range: why an image has no score, and on how many images a measure must be defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

LEAST_DEFINED = 0.5
"""A measure that is defined on less than this share of the images has no score: the images that are left are a selection."""

F = TypeVar("F", bound=Callable[..., Any])


def undefined(reason: str) -> Callable[[F], F]:
    """Declare why a measure is undefined on an image, in words that complete "undefined on 3 of 50 images, where …"."""

    def mark(function: F) -> F:
        function.undefined = reason  # type: ignore[attr-defined]
        return function

    return mark


def why_undefined(function: Callable[..., Any]) -> str:
    """Return the reason that a measure declares, or an empty string."""
    reason: str = getattr(function, "undefined", "")
    return reason
