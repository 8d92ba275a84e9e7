from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import tmi
from tests.tmi.cases import matching_cases
from tests.tmi.tasks.matching.compared import FIELDS, rows, same
from tmi import FeatureTile, InputError, match
from tmi.tasks.matching.matches import match_batches


@given(matching_cases())
def test_fast_is_the_reference_to_the_last_bit(case):
    images, tiles = case
    fast, slow = tmi.match(images, tiles, backend="cpu"), tmi.match(images, tiles, backend="reference")
    assert same(fast, slow)
    assert same(tmi.match(images, tiles, backend="torch"), slow)
    assert fast.slack.dtype == images.dtype
    assert (fast.slack > 0).all()
    assert rows(fast) == sorted(rows(fast))
    assert len(set(rows(fast))) == len(fast)
    assert all(getattr(fast, field).dtype == torch.int64 for field in FIELDS[:4])


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]), st.integers(-2, 2))
@example(0, np.float64, 0)
def test_membership_at_the_edge_does_not_depend_on_the_back_end(seed, dtype, ulps):
    """An ε that is t itself, or a few steps of float64 from it: the order of summation would decide if it differed."""
    rng = np.random.default_rng(seed)
    images = rng.random((3, 1, 9, 9)).astype(dtype)
    values = rng.random((8, 8))
    distance = FeatureTile(values, 1.0).distance(images[0, :, :8, 1:])
    epsilon = distance
    for _ in range(abs(ulps)):
        epsilon = float(np.nextafter(epsilon, np.inf if ulps > 0 else 0))
    tile = FeatureTile(values, epsilon)
    fast, torchs, slow = (tmi.match(images, [tile], backend=backend) for backend in ("cpu", "torch", "reference"))
    assert same(fast, slow)
    assert same(torchs, slow)
    assert ((0, 0, 0, 1) in rows(fast)) == (ulps > 0)


@given(st.integers(0, 2**32 - 1))
def test_elimination_in_float32_loses_no_window(seed):
    """Images in float64 whose distance lies a hair below ε, where rounding to float32 would put it above."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(2, 40))
    values = rng.random((side, side))
    image = np.clip(values + rng.normal(0, 10.0 ** rng.integers(-9, 0), values.shape), 0, 1)
    distance = FeatureTile(values, 1.0).distance(image)
    if distance == 0:
        return
    for backend in ("cpu", "torch"):
        found = tmi.match(image[None, None], [FeatureTile(values, float(np.nextafter(distance, np.inf)))], backend=backend)
        assert rows(found) == [(0, 0, 0, 0)]


def test_pasted_tile_has_slack_epsilon():
    values = np.random.default_rng(1).random((5, 5))
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 2:7, 3:8] = torch.tensor(values)
    found = tmi.match(images, [FeatureTile(values, 0.7)])
    assert rows(found) == [(0, 0, 2, 3)]
    assert found.slack.item() == np.float32(0.7)


def test_nothing_to_find():
    for images, tiles in ((torch.zeros(3, 1, 4, 4), []), (torch.zeros(0, 1, 4, 4), [FeatureTile([[1.0]], 0.5)])):
        found = tmi.match(images, tiles)
        assert len(found) == 0
        assert found.slack.dtype == torch.float32
        assert found.image.dtype == torch.int64


def test_layout_gradients_and_arrays_do_not_matter():
    base = torch.rand(5, 2, 8, 6, generator=torch.Generator().manual_seed(3))
    tiles = [FeatureTile(np.full((2, 2, 3), 0.5), 3.0)]
    expected = tmi.match(base, tiles)
    assert len(expected)
    frozen = base.numpy().copy()
    frozen.setflags(write=False)
    others = [
        base.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
        base.to(memory_format=torch.channels_last),
        base.clone().requires_grad_(),
        base.numpy(),
        np.asfortranarray(base.numpy()),
        base.numpy()[:, :, ::-1].copy()[:, :, ::-1],
        frozen,
        base.tolist(),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for images in others:
            assert same(tmi.match(images, tiles), expected)
    wide = torch.zeros(10, 2, 8, 12)
    wide[::2, :, :, ::2] = base
    assert same(tmi.match(wide[::2, :, :, ::2], tiles), expected)
    shared = base[:1].expand(40, -1, -1, -1)
    assert same(tmi.match(shared, tiles), tmi.match(shared.clone(), tiles))


def test_input_is_left_alone():
    images = torch.rand(3, 1, 6, 6)
    before = images.clone()
    tmi.match(images, [FeatureTile(np.ones((2, 2)), 1.0)])
    assert torch.equal(images, before)


def test_one_tile_needs_no_list():
    tile = FeatureTile(np.ones((2, 2)), 1.0)
    images = torch.ones(1, 1, 3, 3)
    assert same(tmi.match(images, tile), tmi.match(images, (tile,)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(4, 4), r"expected shape \(N, C, m, n\), got \(4, 4\)$"),
        (torch.zeros(1, 4, 4), r"a single image is images\[None\]"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "divide by 255"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.float16), "expected float32 or float64, got float16"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.complex64), "got complex64"),
        (torch.full((2, 1, 4, 4), float("nan")), r"32 values are NaN or outside \[0, 1\]"),
        (torch.full((1, 1, 4, 4), float("inf")), "inf"),
        (torch.full((1, 1, 4, 4), -1e-7), "outside"),
        (torch.full((1, 1, 4, 4), 1 + 1e-6), "outside"),
        ("images", "expected a tensor"),
        (None, "expected a tensor"),
        (np.array([["a"]]), "expected a tensor"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(InputError, match=message):
        tmi.match(images, [FeatureTile(np.ones((2, 2)), 1.0)])


def test_bad_images_name_the_first_place():
    images = torch.zeros(2, 1, 3, 3)
    images[1, 0, 2, 1] = 7
    with pytest.raises(InputError, match=r"first at \(image, channel, row, col\) = \(1, 0, 2, 1\): 7"):
        tmi.match(images, [])


def test_bad_tiles_and_back_end():
    images = torch.zeros(1, 1, 4, 4)
    with pytest.raises(InputError, match=r"tiles\[1\]: expected FeatureTile, got int"):
        tmi.match(images, [FeatureTile(np.ones((2, 2)), 1.0), 3])
    with pytest.raises(InputError, match=r"tiles\[0\]: has 3 channels, the images 1"):
        tmi.match(images, [FeatureTile(np.ones((3, 2, 2)), 1.0)])
    with pytest.raises(InputError, match=r"tiles\[0\]: 5×2 is larger than the images, 4×4"):
        tmi.match(images, [FeatureTile(np.ones((5, 2)), 1.0)])
    with pytest.raises(InputError, match="backend 'referense' is unknown; did you mean \"reference\""):
        tmi.match(images, [], backend="referense")


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
