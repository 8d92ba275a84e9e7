"""Figures of the probes: results in, matplotlib figures out."""
