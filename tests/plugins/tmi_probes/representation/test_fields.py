"""The box that a unit reads, against its receptive field pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

import tmi
from tmi_attribution.receptive import receptive_field
from tmi_probes.representation.fields import fields_of

from ..toys import TASK, cnn_network, dataset


@pytest.mark.parametrize("layer", ["conv", "hidden"])
def test_boxes_are_those_of_the_receptive_fields(layer):
    own = cnn_network()
    size = {"conv": 144, "hidden": 16}[layer]
    units = np.array([0, size // 2, size - 1])
    masks = receptive_field(own.module, layer, units, TASK.image_shape)
    for box, mask in zip(fields_of(own, layer, size, units), masks, strict=True):
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert box.tolist() == [rows[0], cols[0], rows[-1] + 1, cols[-1] + 1]


def test_constructed_neurons_read_their_tile_and_what_refuses_nan_the_whole_image():
    own = tmi.build("theorem1", dataset(4))
    table = own.neurons("hidden")
    units = np.array([0, 50, 100])
    for unit, box in zip(units, fields_of(own, "hidden", len(table), units), strict=True):
        row, col = int(table["row"][unit]), int(table["col"][unit])
        assert box.tolist() == [row, col, row + 3, col + 3]
    assert fields_of(own, "logits", 3, np.array([1])).tolist() == [[0, 0, 8, 8]]
