"""Theorem 1 in superposition: several tiles a neuron, and every direction known."""

from .construction import active_detectors, superposed

__all__ = ["active_detectors", "superposed"]
