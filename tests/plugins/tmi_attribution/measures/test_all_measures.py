"""What every measure declares, and that it keeps to it."""

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

from tmi.params import parameters
from tmi.probing.attribution import GIVEN, TOPICS, measure_info
from tmi_attribution.measures.declared import why_undefined

from .cases import asked, colour, gradient, one_pixel

MODULES = {
    "localisation": ["mass", "precision", "pointing_game", "auc", "average_precision", "top_k"],
    "transport": ["earth_mover"],
    "leakage": ["null_leakage"],
    "curves": ["deletion", "insertion"],
    "road": ["road_morf", "road_lerf"],
    "infidelity": ["infidelity"],
    "sensitivity": ["sensitivity_max", "sensitivity_n"],
    "agreement": ["relative_error", "signed_agreement", "rank_correlation"],
    "counterfactual": ["contrast", "background_invariance", "null_patch_invariance"],
}
HOME = "tmi_attribution.measures"
MEASURES = [getattr(importlib.import_module(f"{HOME}.{module}"), name) for module, names in MODULES.items() for name in names]


def everything_known():
    masks = asked(images=6).masks
    exact = np.random.default_rng(0).normal(size=(6, 1, 8, 8))
    return asked(images=6, dtype=torch.float64, exact=exact, null=~masks & (np.arange(8) > 3))


def score(measure, signed, truth):
    given = {"seed": 0, "attribute": gradient}
    wanted = {name: given[name] for name in given if name in inspect.signature(measure).parameters}
    return measure(signed if measure_info(measure).scored == "signed" else np.abs(signed).sum(1), truth, **wanted)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_declaration_and_settings(measure):
    info = measure_info(measure)
    assert info.topic in TOPICS
    assert info.truth_free == (info.topic == "fidelity")
    assert info.low is None or info.high is None or info.low < info.high
    assert bool(why_undefined(measure)) == (info.topic == "fidelity")
    for setting in parameters(measure, GIVEN["measure"]).values():
        assert setting.text, setting.name
        assert not setting.required


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_scores_are_finite_and_in_range_and_belong_to_their_image(measure):
    truth, info = everything_known(), measure_info(measure)
    signed = gradient(truth)
    found = score(measure, signed, truth)
    assert found.shape == (6,)
    assert found.dtype == np.float64
    kept = found[~np.isnan(found)]
    assert measure.__name__ == "null_patch_invariance" or len(kept) == 6  # the made-up null region is none
    assert ((kept >= (-np.inf if info.low is None else info.low)) & (kept <= (info.high or np.inf))).all()
    for i in (0, 4):
        alone = score(measure, signed[i : i + 1], truth[i : i + 1])
        assert alone == pytest.approx(found[i : i + 1], abs=1e-9, nan_ok=True)


def test_importing_them_is_quick():
    names = ", ".join(f"{HOME}.{module}" for module in MODULES)
    heavy = "{'torch', 'scipy', 'sklearn', 'captum', 'ot', 'matplotlib', 'numba'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {names}; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


FIDELITY = [measure for measure in MEASURES if measure_info(measure).topic == "fidelity"]


@pytest.mark.parametrize("measure", FIDELITY, ids=lambda measure: measure.__name__)
def test_measures_of_fidelity_take_colour_one_image_no_image_and_one_pixel(measure):
    truth = asked(images=3, data=colour())
    found = score(measure, gradient(truth), truth)
    assert np.isfinite(found).all()
    assert score(measure, gradient(truth[:1]), truth[:1]) == pytest.approx(found[:1], abs=1e-5)
    assert score(measure, np.zeros((0, 2, 8, 8)), truth[:0]).shape == (0,)
    single = one_pixel()
    assert score(measure, gradient(single), single).shape == (2,)


@pytest.mark.parametrize("measure", FIDELITY, ids=lambda measure: measure.__name__)
def test_the_scale_of_a_map_changes_no_score_of_fidelity(measure):
    truth = asked(images=4, dtype=torch.float64)
    maps = gradient(truth)
    if measure.__name__ != "sensitivity_max":  # there the method is run again, at the old scale
        assert score(measure, 1e3 * maps, truth) == pytest.approx(score(measure, maps, truth), abs=1e-9)
