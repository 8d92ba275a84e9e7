"""Theorem 1: one convolution with 2×2 kernels, a hidden layer with a neuron for each tile and window, a 0/1 layer."""

from .construction import theorem1

__all__ = ["theorem1"]
