"""Built-in probes."""

import tmi


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes."""
    return {
        "accuracy": "tmi_probes.accuracy:accuracy",
        "activation-sparsity": "tmi_probes.sparsity:activation_sparsity",
        "background-kinds": "tmi_probes.backgrounds:background_kinds",
        "background-robustness": "tmi_probes.robustness:background_robustness",
        "certificate": "tmi_probes.certificate:certificate",
        "decodability": "tmi_probes.decodability:decodability",
        "deformation": "tmi_probes.deformation:deformation",
        "dictionary": "tmi_probes.dictionary:dictionary",
        "equivariance": "tmi_probes.equivariance:equivariance",
        "examples": "tmi_probes.examples:examples",
        "linear-regions": "tmi_probes.regions:linear_regions",
        "local-linear-form": "tmi_probes.local_form:local_linear_form",
        "prunability": "tmi_probes.prunability:prunability",
        "responsible-neurons": "tmi_probes.responsible:responsible_neurons",
        "selectivity": "tmi_probes.selectivity:selectivity",
        "superposition": "tmi_probes.superposition:superposition",
        "translation-robustness": "tmi_probes.robustness:translation_robustness",
        "unit-recovery": "tmi_probes.recovery:unit_recovery",
        "variance-ratio": "tmi_probes.robustness:variance_ratio",
    }
