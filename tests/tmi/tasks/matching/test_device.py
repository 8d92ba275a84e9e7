from __future__ import annotations

import numpy as np
import pytest
import torch

import tmi
from tests.tmi.tasks.matching.compared import FIELDS
from tmi import FeatureTile


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda():
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(70, 2, 20, 18, generator=generator)
    tiles = [FeatureTile(images[i, :, i : i + 9, 3:11].numpy(), 10.0 * (i + 1)) for i in range(4)]
    for dtype in (torch.float32, torch.float64):
        expected = tmi.match(images.to(dtype), tiles, backend="reference")
        found = tmi.match(images.to("cuda", dtype), tiles)
        assert found.slack.device.type == "cuda"
        for field in FIELDS:
            assert torch.equal(getattr(found, field).cpu(), getattr(expected, field))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_are_not_copied_from_their_device(dtype, monkeypatch):
    """A copy of all images to the processor costs more than the match: what is fetched is as small as the result."""
    images = torch.rand(64, 3, 20, 18, dtype=dtype, generator=torch.Generator().manual_seed(4))
    fetched = []
    for name in ("cpu", "numpy", "tolist"):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda x, *a, plain=plain: (fetched.append(x.numel()), plain(x, *a))[1])
    tile = FeatureTile(np.ones((3, 4, 4)), 1.0)
    tmi.match(images, tile, backend="torch")
    monkeypatch.undo()
    assert max(fetched, default=0) < images.numel() / 100
