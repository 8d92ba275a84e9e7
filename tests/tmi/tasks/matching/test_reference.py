from __future__ import annotations

import numpy as np
from hypothesis import given

import tmi
from tests.tmi.cases import matching_cases, plain_distance
from tests.tmi.tasks.matching.compared import rows


@given(matching_cases(counts=(1, 3)))
def test_reference_is_the_double_loop(case):
    images, tiles = case
    expected = {}
    for i, image in enumerate(images.numpy()):
        for t, tile in enumerate(tiles):
            for row in range(image.shape[1] - tile.shape[1] + 1):
                for col in range(image.shape[2] - tile.shape[2] + 1):
                    distance = plain_distance(image, tile, row, col)
                    assert tile.distance(image[:, row : row + tile.shape[1], col : col + tile.shape[2]]) == distance
                    if distance < tile.epsilon:
                        expected[i, t, row, col] = tile.epsilon - distance
    found = tmi.match(images, tiles, backend="reference")
    assert rows(found) == sorted(expected)
    with np.errstate(over="ignore"):
        slack = np.array([expected[place] for place in sorted(expected)]).astype(found.slack.numpy().dtype)
    np.testing.assert_array_equal(found.slack.numpy(), np.maximum(slack, np.finfo(slack.dtype).tiny))
