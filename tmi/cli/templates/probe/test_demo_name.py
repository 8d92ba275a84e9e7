"""Tests of the probe demo-name."""

import numpy as np
import pytest

import tmi
from tmi import testing


@pytest.mark.tmi("tmi_demo_name")
def test_what_tmi_asks_of_every_plug_in(tmi_check):
    tmi_check()


def test_the_margin_by_hand():
    data, network = testing.tiny_data(), testing.tiny_network()
    result = tmi.probe("demo-name", network, data, images=5)
    logits, labels = network.logits(data.test.images[:5]).numpy(), data.test.labels[:5].numpy()
    by_hand = [row[label] - max(np.delete(row, label)) for row, label in zip(logits, labels, strict=True)]
    assert result.metrics["margin"] == pytest.approx(np.mean(by_hand))
    assert result.metrics["margin.least"] == pytest.approx(min(by_hand))
    assert result.metrics["positive"] == np.mean(np.array(by_hand) > 0)
