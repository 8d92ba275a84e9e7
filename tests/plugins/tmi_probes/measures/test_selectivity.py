"""Measures of what a neuron says about the class, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score, roc_auc_score

from tmi_probes.measures.selectivity import auc_of_ranks, class_selectivity, mutual_information, ranks_of

LABEL = np.array([0, 0, 1, 1, 2, 2])


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_auc_and_mutual_information_are_sklearns(seed):
    rng = np.random.default_rng(seed)
    label = np.concatenate([[0, 1, 2], rng.integers(0, 3, 30)])
    values = np.round(np.maximum(rng.normal(size=(33, 4)), 0), rng.integers(0, 3))  # with many ties
    found = auc_of_ranks(ranks_of(values), label)
    information = mutual_information(values != 0, label)
    for neuron in range(4):
        for c in range(3):
            assert found[c, neuron] == pytest.approx(roc_auc_score(label == c, values[:, neuron]), abs=1e-12)
        assert information[neuron] == pytest.approx(mutual_info_score(values[:, neuron] != 0, label), abs=1e-12)


def test_class_selectivity_by_hand():
    values = np.array([[2, 1, 0, 1], [4, 1, 0, -1], [1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], float)
    found = class_selectivity(values, LABEL)
    assert found[:2] == pytest.approx([(3 - 0.5) / 3.5, 0])
    assert np.isnan(found[2:]).all()  # all zero; negative
    assert np.isnan(class_selectivity(values, np.zeros(6, int))).all()
