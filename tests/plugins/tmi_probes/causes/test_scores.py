"""The scores against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tmi_probes.causes.scores import Rates, agreement, auc, concentration, interaction

NUMBERS = st.lists(st.sampled_from([0.0, 0.1, -0.1, 0.5, -2.0, 1.0]), min_size=3, max_size=12)


@given(values=NUMBERS, data=st.data())
@settings(max_examples=25, deadline=None)
def test_auc_is_that_of_scikit_learn(values, data):
    size = np.abs(np.array(values))
    known = np.array(data.draw(st.lists(st.sampled_from(range(len(values))), min_size=1, max_size=len(values) - 1, unique=True)))
    truth = np.isin(np.arange(len(values)), known)
    assert auc(size[known], np.sort(size[size > 0]), len(size)) == pytest.approx(roc_auc_score(truth, size))


def test_rates():
    rates = Rates(6, 0.3, np.random.default_rng(0))
    rates.add(np.array([1, 2, 4]), np.array([0.5, -0.4, 0.1]), np.array([2, 4]))
    rates.add(np.array([0]), np.array([0.2]), np.array([], np.int64))  # nothing is known to matter: no true positive rate
    means = rates.means()
    assert means["tpr"][0] == 0.5
    assert means["fpr"][0] == pytest.approx(np.mean([1 / 4, 0]))
    assert means["auc"][0] == pytest.approx(roc_auc_score([0, 0, 1, 0, 1, 0], [0, 0.5, 0.4, 0, 0.1, 0]))
    assert all(len(chance) == 20 for _, chance in means.values())
    assert means["auc"][1].std() > 0


def test_chance_is_what_random_sites_score():
    rng = np.random.default_rng(0)
    rates = Rates(50, 0.5, rng)
    for _ in range(200):
        effects = rng.random(50)
        rates.add(np.arange(50), effects, np.argsort(-effects)[:5])
    means = rates.means()
    assert means["auc"][0] == 1
    assert means["auc"][1].mean() == pytest.approx(0.5, abs=0.01)
    assert means["tpr"][1].mean() == pytest.approx(0.5, abs=0.02)


def test_concentration_and_interaction():
    assert concentration(np.array([0.0, -3.0, 1.0, 0.0])) == {"top_share": 0.75, "sites_90": 2.0}
    assert concentration(np.array([9.0, 1.0]))["sites_90"] == 1
    assert concentration(np.zeros(3)) == {}
    assert interaction(np.array([1.0, -1.0, 0.5]), 0.5) == 0
    assert interaction(np.zeros(2), 1.0) == 1
    assert interaction(np.array([1.0, 1.0]), 1.0) == pytest.approx(1 / 3)
    assert np.isnan(interaction(np.zeros(2), 0.0))


def test_agreement():
    effects = np.array([1.0, -0.5, 0.001])
    assert agreement(effects, effects) == pytest.approx({"error": 0, "sign": 1, "correlation": 1})
    negated = agreement(-effects, effects)
    assert negated == pytest.approx({"error": 2, "sign": 0, "correlation": -1})
    assert agreement(np.zeros(3), effects) == {"error": 1, "sign": 0}  # a constant has no correlation
    assert agreement(np.array([1.0, -0.5, -0.001]), effects)["sign"] == 1  # the third effect is below 1 % of the largest
    assert agreement(effects, np.zeros(3)) == {}
