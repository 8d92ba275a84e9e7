"""Every probe runs on networks in superposition, or says why not."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import tmi
from tests.plugins.test_all_probes import PROBES, run

NETWORKS = {
    "place": {"neurons": 6},
    "literal": {"neurons": 6, "realisation": "literal", "show_hidden": False},
    "dense, errs": {"neurons": 3, "code": "dense", "approximate": True},
    "layer": {"neurons": 40, "scope": "layer"},
}


@pytest.fixture(scope="module")
def data(small):
    train, test = (tmi.Scenes.draw(small, 24, rng=np.random.default_rng(seed), paste="support") for seed in (1, 2))
    return tmi.Dataset(small, train, test, name="small")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_probe_runs(data, name, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network = tmi.build("superposed", data, seed=0, **NETWORKS[kind])
    assert network.module.computes_phi == (kind in ("place", "literal"))
    if name == "certificate" and not network.module.computes_phi:
        with pytest.raises(tmi.InputError, match="not φ of its task"):
            run(name, network, data)
        return
    result = run(name, network, data)
    assert result.metrics or not result.applicable
    assert all(math.isfinite(value) for value in result.metrics.values())
