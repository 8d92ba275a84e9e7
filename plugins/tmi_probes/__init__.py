"""Built-in probes."""

import tmi

# By the module that holds them; a function has its name with underscores.
_METHODS = {
    "gradient": "saliency input-x-gradient",
    "path": "integrated-gradients gradient-shap",
    "deeplift": "deeplift deeplift-shap",
    "relevance": "lrp",
    "guided": "guided-backprop deconvolution",
    "cam": "grad-cam guided-grad-cam",
    "occlusion": "occlusion",
    "superpixels": "feature-ablation feature-permutation shapley-sampling shapley-exact kernel-shap lime",
    "noise": "smooth-grad smooth-grad-squared var-grad smooth-integrated-gradients",
    "controls": "constant random sobel centre-prior oracle",
    "constructed": "exact exact-integrated-gradients",
    "layers": """
        layer-activation layer-gradient-x-activation layer-integrated-gradients layer-conductance internal-influence
        layer-deeplift layer-deeplift-shap layer-gradient-shap layer-grad-cam layer-lrp layer-feature-ablation
        layer-feature-permutation
    """,
    "neurons": """
        neuron-gradient neuron-integrated-gradients neuron-conductance neuron-deeplift neuron-deeplift-shap neuron-gradient-shap
        neuron-guided-backprop neuron-deconvolution neuron-feature-ablation
    """,
}
_MEASURES = {
    "localisation": "mass precision pointing-game auc average-precision top-k",
    "transport": "earth-mover",
    "leakage": "null-leakage",
    "curves": "deletion insertion",
    "infidelity": "infidelity",
    "sensitivity": "sensitivity-max sensitivity-n",
    "agreement": "relative-error signed-agreement rank-correlation",
    "counterfactual": "contrast background-invariance null-patch-invariance",
}


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes."""
    return {
        "accuracy": "tmi_probes.accuracy:accuracy",
        "activation-sparsity": "tmi_probes.sparsity:activation_sparsity",
        "attribution": "tmi_probes.attribution:attribution",
        "attribution-bench": "tmi_probes.attribution.bench:attribution_bench",
        "background-kinds": "tmi_probes.backgrounds:background_kinds",
        "background-robustness": "tmi_probes.robustness:background_robustness",
        "certificate": "tmi_probes.certificate:certificate",
        "decodability": "tmi_probes.decodability:decodability",
        "deformation": "tmi_probes.deformation:deformation",
        "dictionary": "tmi_probes.dictionary:dictionary",
        "equivariance": "tmi_probes.equivariance:equivariance",
        "examples": "tmi_probes.examples:examples",
        "ig-convergence": "tmi_probes.attribution.convergence:ig_convergence",
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


@tmi.hookimpl
def tmi_attribution_methods():  # type: ignore[no-untyped-def]
    """Name the attribution methods: Captum's, and controls to compare them with."""
    return _targets("methods", _METHODS)


@tmi.hookimpl
def tmi_attribution_measures():  # type: ignore[no-untyped-def]
    """Name the measures of attributions."""
    return _targets("measures", _MEASURES)


@tmi.hookimpl
def tmi_suites():  # type: ignore[no-untyped-def]
    """Name the suites."""
    return {"attribution": "tmi_probes:attribution/attribution.toml"}


@tmi.hookimpl
def tmi_reports():  # type: ignore[no-untyped-def]
    """Name the reports that the suites ask for."""
    return {"attribution": "tmi_probes.attribution.report:sections"}


def _targets(folder: str, names: dict[str, str]) -> dict[str, str]:
    home = f"tmi_probes.attribution.{folder}"
    return {name: f"{home}.{module}:{name.replace('-', '_')}" for module, of in names.items() for name in of.split()}
