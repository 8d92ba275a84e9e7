"""Built-in probes."""

import tmi


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes."""
    return {
        "ablation": "tmi_probes.causes.ablation:ablation",
        "accuracy": "tmi_probes.performance.accuracy:accuracy",
        "activation-maximisation": "tmi_probes.representation.activation_maximisation:activation_maximisation",
        "activation-patching": "tmi_probes.causes.activation_patching:activation_patching",
        "activation-sparsity": "tmi_probes.neurons.activation_sparsity:activation_sparsity",
        "attack": "tmi_probes.robustness.attack:attack",
        "background-kinds": "tmi_probes.robustness.background_kinds:background_kinds",
        "background-robustness": "tmi_probes.robustness.invariance:background_robustness",
        "certificate": "tmi_probes.robustness.certificate:certificate",
        "cka": "tmi_probes.representation.cka:similarity",
        "decodability": "tmi_probes.layers.decodability:decodability",
        "deformation": "tmi_probes.robustness.deformation:deformation",
        "dictionary": "tmi_probes.layers.dictionary:dictionary",
        "direction-recovery": "tmi_probes.layers.direction_recovery:direction_recovery",
        "equivariance": "tmi_probes.layers.equivariance:equivariance",
        "examples": "tmi_probes.performance.examples:examples",
        "feature-neurons": "tmi_probes.circuits.feature_neurons:feature_neurons",
        "kept-meaning": "tmi_probes.neurons.kept_meaning:kept_meaning",
        "linear-regions": "tmi_probes.linear.linear_regions:linear_regions",
        "local-linear-form": "tmi_probes.linear.local_linear_form:local_linear_form",
        "logit-decomposition": "tmi_probes.circuits.logit_decomposition:logit_decomposition",
        "prunability": "tmi_probes.circuits.prunability:prunability",
        "responsible-neurons": "tmi_probes.circuits.responsible_neurons:responsible_neurons",
        "selectivity": "tmi_probes.neurons.selectivity:selectivity",
        "spectrum": "tmi_probes.robustness.spectrum:spectrum",
        "superposition": "tmi_probes.layers.superposition:superposition",
        "top-activating-scenes": "tmi_probes.representation.top_activating:top_activating_scenes",
        "translation-robustness": "tmi_probes.robustness.invariance:translation_robustness",
        "unit-recovery": "tmi_probes.neurons.unit_recovery:unit_recovery",
        "variance-ratio": "tmi_probes.robustness.invariance:variance_ratio",
        "weight-sparsity": "tmi_probes.circuits.weight_sparsity:weight_sparsity",
    }
