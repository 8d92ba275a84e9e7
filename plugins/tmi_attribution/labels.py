"""Labels of suite ``attribution``, and how its networks are called in reports and documentation."""

METHODS = ("methods", "methods-as-layers")
"""Labels of the probes that attribute the label's logit to pixels."""

LAYERS = {
    "layers": "layer hidden",
    "layers-of-maps": "layer conv",
    "layers-as-layers": "layer hidden",
    "neurons": "neurons of hidden",
    "neurons-of-maps": "neurons of conv",
    "layers-superposed": "layer mixed",
    "neurons-superposed": "neurons of mixed",
}
"""Labels of the probes that look at a layer, and the layer."""

NETWORKS = {
    "theorem1": "constructed: Theorem 1",
    "theorem1-layers": "constructed: Theorem 1 as layers",
    "theorem2": "constructed: Theorem 2",
    "theorem2-layers": "constructed: Theorem 2 as layers",
    "cnn": "trained: CNN",
    "cnn-max": "trained: CNN, max pooling",
    "cnn-average": "trained: CNN, average pooling",
    "cnn-deep": "trained: CNN, two convolutions",
    "superposed": "constructed: tiles in superposition",
}
"""Display names of the networks by label, in the order of the report."""
