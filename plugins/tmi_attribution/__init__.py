"""The attribution bench: attribution methods, measures of attributions, and probes that compare both with the exact truth."""

import tmi

# Module to the names that it holds; the function of a name has underscores instead of hyphens.
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
    "controls": "constant random sobel laplace centre-prior oracle",
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
    "road": "road-morf road-lerf",
    "infidelity": "infidelity",
    "sensitivity": "sensitivity-max sensitivity-n",
    "agreement": "relative-error signed-agreement rank-correlation",
    "counterfactual": "contrast background-invariance null-patch-invariance",
}


@tmi.hookimpl
def tmi_probes():  # type: ignore[no-untyped-def]
    """Name the probes."""
    return {
        "attribution": "tmi_attribution.overview:attribution",
        "attribution-bench": "tmi_attribution.bench:attribution_bench",
        "ig-convergence": "tmi_attribution.convergence:ig_convergence",
        "disguises": "tmi_attribution.disguises:disguises",
        "randomisation": "tmi_attribution.randomisation:randomisation",
    }


@tmi.hookimpl
def tmi_attribution_methods():  # type: ignore[no-untyped-def]
    """Name the attribution methods: Captum's, and the controls."""
    return _targets("methods", _METHODS)


@tmi.hookimpl
def tmi_attribution_measures():  # type: ignore[no-untyped-def]
    """Name the measures of attributions."""
    return _targets("measures", _MEASURES)


@tmi.hookimpl
def tmi_suites():  # type: ignore[no-untyped-def]
    """Name the suite."""
    return {"attribution": "tmi_attribution:attribution.toml"}


@tmi.hookimpl
def tmi_reports():  # type: ignore[no-untyped-def]
    """Name the report that the suite asks for."""
    return {"attribution": "tmi_attribution.report:sections"}


def _targets(folder: str, modules: dict[str, str]) -> dict[str, str]:
    return {
        name: f"tmi_attribution.{folder}.{module}:{name.replace('-', '_')}"
        for module, names in modules.items()
        for name in names.split()
    }
