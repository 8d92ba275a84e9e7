"""Predictions and margins, by hand."""

import numpy as np
import pytest

from tmi_probes.pipeline.logits import commonest_share, logits_of, margins, of_label, of_others, predictions

from ..toys import cnn_network, dataset


@pytest.mark.parametrize("at_once", [None, 1, 7, 100])
def test_logits_of_parts_are_the_networks_to_the_last_bit(at_once):
    net, scenes = cnn_network(), dataset(530).test
    if at_once is not None:
        net.module.images_at_once = at_once
    assert np.array_equal(logits_of(net, scenes), net.logits(scenes.images).double().numpy())


def test_a_tie_and_nan_predict_nothing():
    logits = np.array([[0.0, 2, 1], [3, 3, 1], [0, 0, 0], [1, np.nan, 0], [-1, -2, -3]])
    assert predictions(logits).tolist() == [1, -1, -1, -1, 0]


def test_logit_of_the_label_and_of_the_others():
    logits = np.arange(6.0).reshape(2, 3)
    assert of_label(logits, np.array([2, 0])).tolist() == [2, 3]
    assert of_others(logits, np.array([2, 0])).tolist() == [[0, 1], [4, 5]]


def test_margins_are_over_the_largest_other_logit_or_over_0():
    logits = np.array([[0.0, 2, 5], [3, 1, -1]])
    assert margins(logits, np.array([1, 0])).tolist() == [-3, 2]
    assert margins(logits[:, :1], np.array([0, 0])).tolist() == [0, 3]


def test_the_commonest_class():
    assert commonest_share(np.array([2, 0, 2, 1])) == pytest.approx(0.5)
