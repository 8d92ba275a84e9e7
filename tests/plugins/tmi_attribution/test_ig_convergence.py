"""Probe ``ig-convergence`` on a small task."""

import numpy as np
import pytest

import tmi
from tests.plugins.tmi_probes.toys import TASK, cnn_network, dataset
from tmi_attribution.convergence import convergence, ig_convergence


@pytest.fixture(scope="module")
def data():
    return dataset(30)


def test_errors_fall_and_awake_is_rounding(data):
    result = ig_convergence(tmi.build("theorem1", data), data, images=6, steps=[10, 40, 160])
    assert result.coords["step"].tolist() == [10, 40, 160]
    errors = result.arrays["error"].values
    assert errors == pytest.approx(convergence(TASK, data.test[:6], [10, 40, 160]))
    assert result.metrics["error.40"] == pytest.approx(errors[1].mean())
    assert result.metrics["error.160"] < result.metrics["error.10"] / 4
    shown = len(np.unique(data.test.tile[:6]))
    assert result.arrays["awake"].shape == (3, shown)
    assert result.arrays["awake"].values.max() < 1e-6  # Captum's weights are in single precision
    assert result.describe("awake.10").better == "lower"


def test_only_where_the_closed_form_is_known(data):
    trained = ig_convergence(cnn_network(), data)
    assert not trained.metrics
    assert "constructed networks alone" in trained.notes[0]
    with pytest.raises(tmi.InputError, match="steps: expected at least one, each once"):
        ig_convergence(tmi.build("theorem1", data), data, steps=[5, 5])
