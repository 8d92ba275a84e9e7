"""What the tests of all back ends share: results compared to the last bit."""

from __future__ import annotations

import torch

import tmi

FIELDS = ("image", "tile", "row", "col", "slack")


def same(one: tmi.Matches, other: tmi.Matches) -> bool:
    """Equal to the last bit."""
    return all(torch.equal(getattr(one, field), getattr(other, field)) for field in FIELDS)


def rows(found: tmi.Matches) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(found, field).tolist() for field in FIELDS[:4]), strict=True))
