"""Theorem 2: padding, r combining layers that sum the distances of patches, a threshold, a 0/1 layer."""

from .construction import theorem2
from .cuts import sharing

__all__ = ["sharing", "theorem2"]
