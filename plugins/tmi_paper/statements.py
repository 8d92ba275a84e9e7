"""The paper, statement by statement: where each is shown, and which claims measure it; docs/paper.md is written from this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """A statement, definition, setting, figure or number of the paper.

    Attributes
    ----------
    part : str
        Heading under which it stands.
    where : str
        Its place in the paper.
    paper : str
        What the paper says, in its own words or shortened.
    shown : str
        Where the project shows it, as Markdown.
    claims : tuple of str
        Beginnings of the keys of `tmi_paper.claims.Claim` that measure it.
    """

    part: str
    where: str
    paper: str
    shown: str
    claims: tuple[str, ...] = ()


_FRAMEWORK, _RESULTS, _SQUARES, _FASHION, _DISCUSSION = (
    "Sections 2 and 3: the framework",
    "Sections 4 and 5: theorems and proofs",
    "Section 6.1: black and white squares",
    "Section 6.2: Fashion-MNIST",
    "Section 7: discussion",
)

STATEMENTS = (
    Statement(
        _FRAMEWORK,
        "Def. 2.1",
        "Input space: matrices m×n with entries from 0 to 1",
        "`tmi.TemplateTask.image_shape`; every function that takes images refuses NaN and values outside [0, 1]",
    ),
    Statement(
        _FRAMEWORK,
        "2.1",
        "Only grey images are considered; colour is a straightforward extension",
        "Images have shape (C, m, n) everywhere; distances sum over channels. Data set `cutouts` is in colour",
        ("Theorem 1, cutouts", "Theorem 2, cutouts"),
    ),
    Statement(
        _FRAMEWORK,
        "Def. 2.2",
        "Labels, the images of each label, and classification maps with zero error",
        "`task.labels` (−1 for none or several), probe `accuracy`",
        ("Theorem 1, fashion", "Theorem 2, fashion"),
    ),
    Statement(
        _FRAMEWORK,
        "Def. 2.3",
        "A network of L convolutional layers, a flattening layer and L′ linear layers (typically 1 or 2); the class is the "
        "largest logit",
        "`tmi.Network`; builder `cnn` (`depth`, `hidden`). A tie is counted as wrong",
    ),
    Statement(
        _FRAMEWORK,
        "2.2",
        "A classification map cannot be continuous; logits can: the label's is the largest",
        "Prop. 1 below; probe `local-linear-form` gives the linear piece around an image",
        ("Proposition 1",),
    ),
    Statement(
        _FRAMEWORK,
        "Def. 3.1",
        "The support of a matrix: its entries that are not 0",
        "`tmi.FeatureTile(values, epsilon, support)`: this is the default. An explicit support is needed for the white square: "
        "[remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
    ),
    Statement(
        _FRAMEWORK,
        "Def. 3.2",
        "A feature tile T = (t, ε), ε > 0",
        "`tmi.FeatureTile`",
    ),
    Statement(
        _FRAMEWORK,
        "Def. 3.3",
        "t(x) = Σ over the support of |x − t|",
        "`FeatureTile.distance`, the reference of the fast `tmi.match`",
    ),
    Statement(
        _FRAMEWORK,
        "Def. 3.4",
        "An image contains T if t(x) ≤ ε in some window",
        "`tmi.match`, with t(x) < ε: [remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open), since Lemma 5.1 fails at "
        "t(x) = ε",
        ("Proposition 1",),
    ),
    Statement(
        _FRAMEWORK,
        "Def. 3.5",
        "An image I is a set of tiles, of any dimensions; the images that contain it are the (disjoint) union",
        "`tmi.TileClass`, `task.memberships`; the union is not disjoint: "
        "[remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open). `cutouts` has tiles of several sizes in a class",
    ),
    Statement(
        _FRAMEWORK,
        "Def. 3.6",
        "An image class: the images that contain exactly one of I_1, …, I_l",
        "`tmi.TemplateTask`, `task.labels`; scenes that contain two classes are drawn again",
    ),
    Statement(
        _FRAMEWORK,
        "Fig. 1, 3.1",
        "Cats and dogs: two non-rectangular tiles of different dimensions a class, cut out of real images; four examples of each "
        "above various backgrounds, without restriction on the background",
        "Data set `cutouts`: the support is the opaque part, so that black pixels of an animal count, unlike Def. 3.1; an image "
        "that shows both classes is drawn again. Figure 1 in the report of `make demo`, and [below](#figure-1)",
        ("Theorem 1, cutouts", "Theorem 2, cutouts", "7 trained, cutouts"),
    ),
    Statement(
        _FRAMEWORK,
        "3.1",
        "The resulting images are very realistic, so that the framework models feature extraction effectively",
        "Not measured: a judgement; see [Figure 1](#figure-1)",
    ),
    Statement(
        _RESULTS,
        "Prop. 1",
        "There is a piecewise linear φ that is above 0 exactly on the images that contain I",
        "`task.phi`; probe `reference-error` compares the logits of constructed networks with it",
        ("Proposition 1",),
    ),
    Statement(
        _RESULTS,
        "Thm. 1",
        "One convolutional layer with 2×2 kernels and one fully connected layer classify without error",
        "Builder `theorem1`, by matching or as layers (`realisation`), where each 2×2 kernel has one weight that is not 0; dense "
        "in 30 lines in `tmi_networks/reference.py`. The construction has two fully connected layers, hidden and output, as "
        "Lemma 5.2 says: [remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
        ("Theorem 1",),
    ),
    Statement(
        _RESULTS,
        "4.2",
        "The logit of the feature that the image contains is not zero, and the others are zero",
        "Probe `accuracy`: `offlabel_logit_max`, `label_logit_min`",
        ("Theorem 1, squares", "Theorem 2, squares"),
    ),
    Statement(
        _RESULTS,
        "4.2, 5.2",
        "Hidden neurons are interpretable: each detects whether a feature is within a fixed rectangle",
        '`network.neurons("hidden")` names tile, row and column of each; `network.explain`',
        ("Lemma 5.2",),
    ),
    Statement(
        _RESULTS,
        "Thm. 2",
        "A padding layer, r convolutional layers and one fully connected layer classify without error, if the images have size "
        "less than 2^r",
        "Builder `theorem2`, fused or as layers; dense in `tmi_networks/reference.py`. Size at most 2^r is enough; the layers "
        "that the construction needs are counted in a [remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
        ("Theorem 2",),
    ),
    Statement(
        _RESULTS,
        "4.3, 5.3",
        "Neurons in earlier layers detect smaller patches, those in later layers larger ones (hierarchical compositionality)",
        'Layers `level1` … `levelr` of `theorem2` as layers; `network.neurons("level2")` says which patch each stands for, and '
        "how many tiles share it",
        ("Lemma 5.3",),
    ),
    Statement(
        _RESULTS,
        "Def. 5.1",
        "The rectangles R of an image, and φ_T = Σ max(0, ε − t)",
        "`task.windows`, `task.phi`. i and j count from 0 (the paper names no lower bound), so that all (m − k + 1)(n − l + 1) "
        "windows count",
        ("Proposition 1",),
    ),
    Statement(
        _RESULTS,
        "Lemma 5.1",
        "φ_T > 0 exactly if the image contains T",
        "`task.memberships` against `task.phi` in the tests, on random tasks and at t(x) = ε",
        ("Proposition 1",),
    ),
    Statement(
        _RESULTS,
        "Def. 5.2",
        "φ_I is the sum of φ_T over the tiles of I",
        "`task.phi`",
        ("Proposition 1",),
    ),
    Statement(
        _RESULTS,
        "Lemma 5.2",
        "A network with a hidden convolutional and a hidden fully connected layer computes φ_T",
        "Layers `conv`, `hidden`, `logits` of `theorem1` as layers; [step by step with numbers](mathematics.md)",
        ("Lemma 5.2",),
    ),
    Statement(
        _RESULTS,
        "5.2",
        "|y − c| = σ(2y − 2c) − σ(y) + c for real y and c",
        "It needs y ≥ 0: [remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open). Images outside [0, 1] are refused",
        ("Lemma 5.2",),
    ),
    Statement(
        _RESULTS,
        "5.2",
        "Hidden activations are sparse: only the neuron of the rectangle with the feature is active",
        "Probe `activation-sparsity`. True where one window matches: "
        "[remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
        ("5.2 sparse",),
    ),
    Statement(
        _RESULTS,
        "Def. 5.3",
        "The matrix D_t(x) of the distances t at all places",
        "Layers `level…` of `theorem2` as layers. p < m is not needed: a tile may be as large as the image",
        ("Lemma 5.3",),
    ),
    Statement(
        _RESULTS,
        "Lemma 5.3",
        "r + 1 convolutional layers compute D_t for a tile of 2^r × 2^r; the (i + 1)-st has 2^i × 2^i kernels",
        "`theorem2` as layers: 1×1 filters, then a 2×2 kernel with dilation 2^(i − 1), which is one of 2^i × 2^i with zeros",
        ("Lemma 5.3",),
    ),
    Statement(
        _SQUARES,
        "6",
        "All experiments use PyTorch",
        "`cnn` is trained with torch; small networks in compiled loops that take the same steps ([how](running.md#training))",
    ),
    Statement(
        _SQUARES,
        "6.1, 6.2",
        "Not given: ε, the batch size and test set of 6.1, the number of seeds, the initial weights",
        "ε is 0.5 for the squares and 5 for Fashion-MNIST; batch sizes 1 and 10; 1,000 test images; 20 and 5 seeds; torch's "
        "default initial weights",
    ),
    Statement(
        _SQUARES,
        "6.1",
        "4×4 images, two classes of one 2×2 tile: white is four zeros, black four ones",
        "Data set `squares`, drawn as ink on paper. The white square's support by Def. 3.1 is empty; here all four pixels count: "
        "[remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
    ),
    Statement(
        _SQUARES,
        "Fig. 2",
        "Samples: black and white squares on random backgrounds",
        "Figure 2 in the report; probe `examples`",
    ),
    Statement(
        _SQUARES,
        "6.1",
        "One convolution with a single 2×2 filter, then a linear layer 2×9",
        "`cnn` with `filters = 1`, `kernel = 2`, `hidden = 0`",
    ),
    Statement(
        _SQUARES,
        "6.1",
        "400 labelled samples, SGD, learning rate 0.05, 100 epochs: 95 %",
        "Suite `paper`, network `trained-squares`; the batch size is not given, 1 and 10 are run",
        ("6.1 trained", "6.1 dead"),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "Over 99 % by increasing the number of filters",
        "Suite `paper`: 4 and 16 filters",
        ("6.1 more", "6.1 improved"),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "The printed weights and biases",
        "Builder `printed-squares`",
        ("6.1 printed accuracy",),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "Four values with a mean of at least 0.7 typically give a neuron above 1, of at most 0.4 a neuron of 0",
        "Probe `squares-heuristics`",
        ("6.1 high_above_1", "6.1 low_is_0"),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "A layer mean above 0.5 typically gives a positive first logit, below 0.3 a negative one",
        "Probe `squares-heuristics`",
        ("6.1 active_means_first", "6.1 quiet_means_second"),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "So an image with a black (white) square usually gives a positive (negative) first logit",
        "Probe `squares-heuristics`",
        ("6.1 black_gives", "6.1 white_gives"),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "The filter resembles those of Theorem 1: a neuron is 0 if its patch resembles a white square",
        "Probe `squares-heuristics`",
        ("6.1 white_is_0",),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "The output logits are not sparse, whereas in Theorem 1 the others are zero",
        "Probe `activation-sparsity`, layer `logits`",
        ("6.1 logits",),
    ),
    Statement(
        _SQUARES,
        "6.1",
        "Analysing larger networks and the piecewise linear functions of their logits could give more insight",
        "Probes `local-linear-form`, `linear-regions` and `logit-decomposition`, on any network; see section 7 below",
    ),
    Statement(
        _FASHION,
        "6.2",
        "One class for each label; k tiles a class, random images of the training set; 28×28",
        "Data set `fashion` (`tiles_per_class` is k, which is not given: 1, 3 and 10 are run; “one of the 10 feature tiles” fits "
        "k = 1. `source` is the full training set or the shipped sample, its first 100 of each class; an image within ε of an "
        "earlier tile is passed over)",
    ),
    Statement(
        _FASHION,
        "6.2",
        "A random grey 40×40 image, in which a random 28×28 patch is replaced by one of the tiles",
        "Data set `fashion`; every pixel uniform, the place uniform",
    ),
    Statement(
        _FASHION,
        "Fig. 3",
        "Tiles, and under each an image that shows it",
        "Figure 3 in the report; probe `examples`",
    ),
    Statement(
        _FASHION,
        "6.2",
        "One convolution with 12 filters of 5×5, then a linear layer to the logits; SGD, 15 epochs, learning rate 0.03, batch "
        "size 100, cross-entropy; 4,000 training and 1,000 test samples",
        "The defaults of `cnn` and `fashion`",
    ),
    Statement(
        _FASHION,
        "6.2",
        "The trained networks consistently reach over 99 %",
        "Suite `paper`, five seeds; suite `paper-long`, twenty seeds, tiles of the sample and of the full set",
        ("6.2 accuracy", "6.2 failing"),
    ),
    Statement(
        _FASHION,
        "6.2",
        "The largest logit should be robust to translations and background perturbations",
        "Probes `background-robustness`, `translation-robustness`",
        ("6.2 robust",),
    ),
    Statement(
        _FASHION,
        "Fig. 4",
        "Three tiles of different classes, 100 images with other backgrounds (first row), 100 with the tile moved (second row): "
        "all ten logits",
        "Figure 4 in the report, for the trained and the constructed network",
        ("6.2 variance",),
    ),
    Statement(
        _FASHION,
        "6.2",
        "The variance is quite small over backgrounds, much larger over places",
        "Probe `variance-ratio` over all tiles",
        ("6.2 variance",),
    ),
    Statement(
        _FASHION,
        "6.2",
        "The constructed network's piecewise linear functions remain unchanged under both",
        "Probes `background-robustness`, `translation-robustness`. True where one window matches: "
        "[remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
        ("6.2 unchanged",),
    ),
    Statement(
        _FASHION,
        "6.2",
        "Constructed neurons are monosemantic; those of trained networks fire for many unrelated features",
        "Probes `selectivity` and `feature-neurons`; suite `monosemanticity`",
        ("6.2 monosemantic", "6.2 polysemantic"),
    ),
    Statement(
        _FASHION,
        "6.2",
        "Further work is needed to decompose the output logits into units that can be interpreted, and to understand why they "
        "are robust to background perturbations",
        "Probe `logit-decomposition`",
        ("7 decomposition",),
    ),
    Statement(
        _DISCUSSION,
        "7, limitations",
        "Template matching can handle images of which a portion is occluded (19)",
        "Probe `deformation`, occlusion. The paper cites another algorithm for it; ε is not given, and Definition 3.4 with ε = 5 "
        "does not",
        ("7 occlusion",),
    ),
    Statement(
        _DISCUSSION,
        "7, limitations",
        "It does not cover images that are rotated, distorted or of another texture",
        "Probes `deformation` and `spectrum`",
        ("7 deformation",),
    ),
    Statement(
        _DISCUSSION,
        "7, limitations",
        "Features could correspond to a continuous spectrum of shapes instead of a finite set",
        "Data set and probe `spectrum`",
        ("7 spectrum", "Theorem 1, spectrum", "Theorem 2, spectrum"),
    ),
    Statement(
        _DISCUSSION,
        "7, interpretability",
        "Constructed networks contain monosemantic neurons, trained ones polysemantic neurons",
        "Probes `selectivity` and `feature-neurons`",
        ("6.2 monosemantic", "6.2 polysemantic"),
    ),
    Statement(
        _DISCUSSION,
        "7, interpretability",
        "Bridging monosemanticity and polysemanticity is an open question; sparse autoencoders do not fully explain the inner "
        "workings",
        "Probe `dictionary`, suite `monosemanticity`: [what they find](probes.md)",
    ),
    Statement(
        _DISCUSSION,
        "7, interpretability",
        "It could be determined whether a subset of neurons is responsible for recognising a feature",
        "Probes `feature-neurons` (for each feature) and `responsible-neurons` (for each image)",
        ("7 responsible",),
    ),
    Statement(
        _DISCUSSION,
        "7, sparsity",
        "Trained networks can be sparsified without a drop in accuracy",
        "Probe `prunability`; builder `lottery-ticket` (pruning with rewinding)",
        ("7 pruning", "7 ticket"),
    ),
    Statement(
        _DISCUSSION,
        "7, sparsity",
        "The fully connected layer of Theorem 1 has weights 0 and 1",
        "Probe `weight-sparsity`: the output layer; the hidden layer has weights −1, 0 and 1",
        ("7 binary",),
    ),
    Statement(
        _DISCUSSION,
        "7, sparsity",
        "Each convolutional filter is connected to a unique logit with non-zero weight",
        "Probe `weight-sparsity`. True of hidden neurons, not of filters, which tiles share: "
        "[remark](mathematics.md#what-the-paper-gets-wrong-or-leaves-open)",
        ("7 unique",),
    ),
    Statement(
        _DISCUSSION,
        "7, sparsity",
        "Lottery tickets give patterns that are difficult to interpret; Theorem 2 could lead to block sparsity patterns with "
        "guarantees",
        "Probe `weight-sparsity` on `theorem2` as layers: the pattern, which is exact by Theorem 2. To train with such a pattern "
        "is left open",
        ("7 blocks",),
    ),
    Statement(
        _DISCUSSION,
        "7, gradient descent",
        "Trained networks achieve near-perfect accuracy on the synthetic data sets",
        "Suite `paper`",
        ("6.1 more", "6.2 accuracy", "7 trained"),
    ),
    Statement(
        _DISCUSSION,
        "7, gradient descent",
        "It would be interesting to obtain convergence guarantees, and to determine whether over-parametrisation is necessary",
        "Not done: a guarantee is a proof, not a measurement. What is measured is accuracy by the number of filters",
        ("6.1 trained", "6.1 dead", "6.1 more"),
    ),
)
"""In the paper's order."""
