"""Built-in probes."""

import tmi


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes."""
    return {
        "accuracy": "tmi_probes.accuracy:accuracy",
        "activation-sparsity": "tmi_probes.sparsity:activation_sparsity",
        "attribution": "tmi_probes.attribution:attribution",
        "background-robustness": "tmi_probes.robustness:background_robustness",
        "certificate": "tmi_probes.certificate:certificate",
        "examples": "tmi_probes.examples:examples",
        "selectivity": "tmi_probes.selectivity:selectivity",
        "translation-robustness": "tmi_probes.robustness:translation_robustness",
    }
