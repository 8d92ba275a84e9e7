"""What the paper gets wrong or leaves open, and what is done here instead."""

from __future__ import annotations

REMARKS = (
    (
        "Empty support",
        "Definition 3.1 counts the pixels of a tile that are not 0. The white square of section 6.1 is all zeros, so every image "
        "would contain it.",
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
        "One fully connected layer or two",
        "Theorem 1 says one convolutional and one fully connected layer; Lemma 5.2 a hidden convolutional and a hidden fully "
        "connected layer.",
        "There are two fully connected layers: hidden and output. With one alone each logit is a sum of functions of single 2×2 "
        "patches. That is enough for the squares, and not for larger tiles: two classes whose tiles pair the same two columns in "
        "different ways cannot be told apart by such sums.",
    ),
    (
        "Layer counts of Theorem 2",
        "Theorem 2 says r convolutional layers and one fully connected layer, Lemma 5.3 says r + 1 convolutional layers.",
        "The construction has padding, one layer of 1×1 filters, r combining layers, one threshold layer and one linear layer of "
        "weights 0 and 1.",
    ),
    (
        "Size less than 2^r",
        "Theorem 2 asks for images (tiles) of size less than 2^r.",
        "At most 2^r is enough: a tile of exactly 2^r × 2^r needs no padding, as in Lemma 5.3. Here r is the least such number, "
        "and at least 1.",
    ),
    (
        "Windows over the padding",
        "Theorem 2 pads the image; its last layer could read windows that reach into the padding.",
        "Only the windows of the image are read: a tile with dark edges would respond to the padding.",
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
        "Measured here on Fashion-MNIST tiles, and on the squares by suite monosemanticity.",
    ),
    (
        "How many tiles a class has",
        "Section 6.2 speaks of “one of the 10 feature tiles” and does not give k, the number of tiles a class. "
        "It decides what training reaches.",
        "k = 1, 3 and 10 are all run.",
    ),
    (
        "What a hidden neuron computes",
        "Section 5.2 says that hidden neurons realise t(x) and are active where the tile is. t is 0 there.",
        "A hidden neuron is σ(ε − t(x)): above 0 where the tile is contained, 0 elsewhere.",
    ),
    (
        "Numbers that are not given",
        "ε, the batch size and the test set of section 6.1, the number of seeds, the initial weights.",
        "ε is 0.5 for the squares and 5 for Fashion-MNIST; batch sizes 1 and 10; 1,000 test images; 20 and 5 seeds; torch's "
        "default initial weights.",
    ),
    (
        "Which square is white",
        "In section 6.1 white is four zeros and black four ones, and the first logit is that of the ones.",
        "Names, order and pictures follow the paper: ink on paper, 1 is black.",
    ),
)
"""Title, what the paper says, what is done here; docs/mathematics.md says more about each."""
