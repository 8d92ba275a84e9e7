"""No probe leaves a trace: in the module, its modes, hooks and gradients, or in the global random state."""

import random

import numpy as np
import pytest
import torch

import tmi
from tmi.params import parameters
from tmi.registry import installed

from .toys import cnn_network, dataset

PROBES = {
    "accuracy": {},
    "activation-sparsity": {},
    "attribution": {"images": 3, "steps": 4, "draws": 2},
    "background-robustness": {"backgrounds": 5},
    "decodability": {},
    "dictionary": {"atoms": 5, "steps": 20},
    "examples": {},
    "prunability": {},
    "responsible-neurons": {},
    "selectivity": {},
    "superposition": {},
    "translation-robustness": {"places": 5},
    "unit-recovery": {},
}


def state(net):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "weights": {name: value.clone() for name, value in net.module.state_dict().items()},
        "modes": [part.training for part in net.module.modules()],
        "hooks": [len(getattr(part, hook)) for part in net.module.modules() for hook in hooks],
        "asked": [p.requires_grad for p in net.module.parameters()],
        "attributes": [sorted(vars(part)) for part in net.module.modules()],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),  # noqa: NPY002
    }


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_leaves_no_trace(name):
    net, data = cnn_network(), dataset(12)
    net.module.train()
    net.module.hidden.eval()
    for p in net.module.parameters():
        p.grad = torch.full_like(p, 7)
    before = state(net)
    component = installed().find("probe", name).function
    seed = {"seed": 5} if name not in ("accuracy", "activation-sparsity", "examples") else {}
    first = component(net, data, **seed, **PROBES[name])
    after = state(net)
    weights = before.pop("weights"), after.pop("weights")
    assert before == after
    assert all(bool((weights[0][key] == weights[1][key]).all()) for key in weights[0])
    assert all(bool((p.grad == 7).all()) for p in net.module.parameters())
    np.random.seed(99)  # noqa: NPY002
    again = component(net, data, **seed, **PROBES[name])
    assert first.metrics == again.metrics
    with torch.inference_mode():
        assert component(net, dataset(12), **seed, **PROBES[name]).metrics == pytest.approx(first.metrics, rel=1e-5)


@pytest.mark.parametrize("name", PROBES)
def test_every_metric_is_explained_and_every_setting_documented(name):
    result = tmi.probe(name, cnn_network(), dataset(12), **PROBES[name])
    assert all(result.describe(metric) is not None for metric in result.metrics)
    for metric, value in result.metrics.items():
        info = result.describe(metric)
        assert info.low is None or value >= info.low, metric
        assert info.high is None or value <= info.high, metric
    assert all(p.text for p in parameters(installed().find("probe", name).function).values())
