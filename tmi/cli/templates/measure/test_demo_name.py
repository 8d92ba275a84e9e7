"""Tests of the measure demo-name."""

from types import SimpleNamespace

import numpy as np
import pytest
from tmi_demo_name import demo_name


@pytest.mark.tmi("tmi_demo_name")
def test_what_tmi_asks_of_every_plug_in(tmi_check):
    tmi_check()


def test_the_distance_by_hand():
    maps, masks = np.zeros((3, 5, 6)), np.zeros((3, 5, 6), bool)
    masks[:, 0:2, 0:2] = True  # its centre is at (0.5, 0.5)
    maps[0, 0:2, 0:2] = 7
    maps[1, 3, 4] = 1
    scores = demo_name(maps, SimpleNamespace(masks=masks))
    assert scores[:2] == pytest.approx([0, np.hypot(2.5, 3.5)])
    assert np.isnan(scores[2])  # a map of zeros has no centre
