"""What the paper gets wrong or leaves open, and what is done here instead."""

from __future__ import annotations

REMARKS = (
    (
        "Empty support",
        "Definition 3.1 counts the pixels of a tile that are not 0. A square of section 6.1 is all zeros (the paper calls it "
        "white; here 0 is black), so every image would contain it.",
        "The support is explicit; a tile without one is an error. The squares count all four pixels.",
    ),
    (
        "The boundary",
        "Definition 3.4 says contained when t ≤ ε, but φ > 0 only when t < ε, so Lemma 5.1 fails at t = ε.",
        "Contained means t < ε everywhere.",
    ),
    (
        "Not disjoint",
        "Definition 3.5 writes a disjoint union of the images that show each tile. An image may show several.",
        "It is a plain union; an image has a label only if it belongs to exactly one class, as Definition 3.6 asks.",
    ),
    (
        "The identity behind Theorem 1",
        "|y − c| = σ(2y − 2c) − σ(y) + c holds for y ≥ 0 alone.",
        "Pixels outside [0, 1], and NaN, are refused.",
    ),
    (
        "One filter to one logit",
        "“Each filter is connected to one logit” holds for the hidden neurons, not for the filters of the first layer, "
        "which tiles share.",
        "Each hidden neuron has one class; the filters' meanings name their value alone.",
    ),
    (
        "Unchanged under background and place",
        "The end of section 6.2 holds where exactly one window is active. φ sums over windows, so where neighbouring windows "
        "match too, as with the squares, the label's logit stays positive but varies.",
        "Both data sets are measured, and the spread is reported, not assumed.",
    ),
    (
        "How many tiles a class has",
        "Section 6.2 speaks of “one of the 10 feature tiles” and does not give k, the number of tiles a class. "
        "It decides what training reaches.",
        "k = 1, 3 and 10 are all run.",
    ),
)
"""Title, what the paper says, what is done here. Those about Theorem 2, which this suite does not run, are in the docs."""
