from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.tmi.tasks.matching.test_matches import FIELDS
from tmi import FeatureTile, InputError, match
from tmi.tasks.matching.matches import match_batches

TILES = [FeatureTile(np.full((2, 2), v), 1.0) for v in (0.2, 0.7)]


def test_batches_one_behind_another_are_all_images_at_once():
    images = torch.rand(150, 1, 7, 6, generator=torch.Generator().manual_seed(0))
    whole = match(images, TILES)
    assert len(whole) > 150
    for sizes in ([150], [1, 0, 64, 85], [50, 50, 50]):
        found = list(match_batches((part for part in images.split(sizes)), TILES))
        assert len(found) == len(sizes)
        for field in FIELDS:
            assert torch.equal(torch.cat([getattr(part, field) for part in found]), getattr(whole, field))


def test_batches_are_taken_one_at_a_time():
    taken = []

    def batches():
        for number in range(5):
            taken.append(number)
            yield np.ones((2, 1, 3, 3), np.float32)

    stream = match_batches(batches(), TILES[0])
    assert taken == []
    next(stream)
    next(stream)
    assert taken == [0, 1]


def test_no_batches():
    assert list(match_batches([], TILES)) == []


def test_bad_batches_and_tiles():
    images = torch.ones(2, 1, 4, 4)
    for wrong in (images, images.numpy(), 3):
        with pytest.raises(InputError, match=r"batches: expected an iterable of images, got .*tmi\.match"):
            match_batches(wrong, TILES)
    with pytest.raises(InputError, match=r"tiles\[0\]: expected FeatureTile, got int"):
        match_batches([images], [3])
    with pytest.raises(InputError, match="backend 'gpu' is unknown"):
        match_batches([images], TILES, backend="gpu")
    stream = match_batches([images, images + 1], TILES)
    next(stream)
    with pytest.raises(InputError, match=r"batch 1: images: 32 values are NaN or outside \[0, 1\]"):
        next(stream)


@pytest.mark.slow
def test_one_large_tensor_is_not_copied():
    """320 MB of images, and a peak that hardly rises while they are matched."""
    code = (
        "import resource, torch, numpy as np, tmi\n"
        "images = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0)).repeat(50_000, 1, 1, 1)\n"
        "tile = tmi.FeatureTile(images[0, :, 3:31, 5:33].numpy(), 5.0)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "tmi.match(images[:2000], [tile])\n"
        "before = peak()\n"
        "print(len(tmi.match(images, [tile])), peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, more = map(int, done.stdout.split())
    assert found == 50_000
    assert more < 50_000  # KiB
