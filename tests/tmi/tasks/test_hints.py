from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import tmi
from tmi import InputError


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [((16, 16, 4), r"values\[..., :3\].transpose\(2, 0, 1\)"), ((9, 7, 3), "transpose"), ((9, 7, 1), "transpose")],
)
def test_a_picture_with_its_channels_last_is_told(shape, remedy):
    with pytest.warns(
        UserWarning, match=f"read as {shape[0]} channels of {shape[1]}×{shape[2]} pixels.*{remedy}.*from_image"
    ) as caught:
        tmi.FeatureTile(np.full(shape, 0.5), 0.1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 9, 3), (4, 4, 4), (3, 7, 3), (28, 28)])
def test_others_are_not(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tmi.FeatureTile(np.full(shape, 0.5), 0.1)


def test_bytes_are_to_be_divided():
    with pytest.raises(InputError, match=r"; divide by 255, or read a file by FeatureTile\.from_image$"):
        tmi.FeatureTile(np.full((4, 4), 200, np.uint8), 0.1)
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(np.ones((3, 2, 2)), 0.1)])], (3, 5, 6))
    with pytest.raises(InputError, match=r"200; divide by 255$"):
        task.labels(torch.full((1, 3, 5, 6), 200.0))
    for wrong in (torch.full((1, 3, 5, 6), 300.0), torch.full((1, 3, 5, 6), -1.0)):
        with pytest.raises(InputError) as caught:
            task.labels(wrong)
        assert "255" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((2, 5, 6, 3), "images).permute(0, 3, 1, 2)"),
        ((2, 5, 6, 4), "images)[..., :3].permute(0, 3, 1, 2)"),
        ((2, 5, 6, 2), ""),
        ((2, 6, 5, 3), ""),
    ],
)
def test_images_with_their_channels_last(shape, remedy):
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(np.ones((3, 2, 2)), 0.1)])], (3, 5, 6))
    images = torch.zeros(shape)
    with pytest.raises(InputError, match=r"expected \(C, m, n\) = \(3, 5, 6\)") as caught:
        task.labels(images)
    assert ("channels come last" in str(caught.value)) == bool(remedy)
    assert str(caught.value).endswith(remedy)
    if remedy:  # it works
        fixed = eval(str(caught.value).rpartition(": ")[2], {"torch": torch, "images": images})
        assert task.labels(fixed).tolist() == [-1, -1]
