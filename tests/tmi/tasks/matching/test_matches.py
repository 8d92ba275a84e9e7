from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import tmi
from tests.tmi.cases import matching_cases, plain_distance
from tmi import FeatureTile, InputError

FIELDS = ("image", "tile", "row", "col", "slack")


def same(one: tmi.Matches, other: tmi.Matches) -> bool:
    """Equal to the last bit."""
    return all(torch.equal(getattr(one, field), getattr(other, field)) for field in FIELDS)


def rows(found: tmi.Matches) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(found, field).tolist() for field in FIELDS[:4]), strict=True))


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


def test_every_window_matches():
    images = torch.rand(70, 2, 9, 8, generator=torch.Generator().manual_seed(0))
    tiles = [FeatureTile(np.full((2, 1, 1), 0.5), 100.0), FeatureTile(np.full((2, 3, 2), 0.5), 100.0)]
    found = tmi.match(images, tiles)
    assert len(found) == 70 * (9 * 8 + 7 * 7)  # the buffer of 256 places grows many times
    assert same(found, tmi.match(images, tiles, backend="reference"))
    assert same(found, tmi.match(images, tiles, backend="torch"))


@pytest.mark.parametrize("count", [0, *range(1, 10), 63, 64, 65, 129])
def test_count_of_images_is_not_rounded_to_lanes(count):
    images = torch.ones(count, 1, 3, 3)
    found = tmi.match(images, [FeatureTile(np.ones((3, 3)), 0.5)])
    assert rows(found) == [(i, 0, 0, 0) for i in range(count)]
    assert (found.slack == 0.5).all()


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


def test_thread_count_does_not_matter():
    images = torch.rand(200, 1, 12, 12, generator=torch.Generator().manual_seed(2))
    tiles = [FeatureTile(np.full((4, 4), v), 4.0) for v in (0.3, 0.5)]
    one = tmi.match(images, tiles)
    try:
        torch.set_num_threads(2)
        two = tmi.match(images, tiles)
    finally:
        torch.set_num_threads(1)
    assert len(one) > 100
    assert same(one, two)


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


def test_tiles_that_change_their_tolerance_are_packed_anew():
    images, tile = torch.full((1, 1, 4, 4), 0.5), FeatureTile(np.ones((4, 4)), 1.0)
    assert not len(tmi.match(images, tile))
    tile.epsilon = 9.0
    assert tmi.match(images, tile).slack.tolist() == [1.0]


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


def test_runs_where_compiled_code_cannot_be_kept(tmp_path):
    """A package folder and a home in which nothing can be written (a file in the way stops root too)."""
    package = Path(tmi.__file__).parent
    light = ("__init__.py", "_version.py", "errors.py", "tasks/*.py", "tasks/matching/*.py")
    for file in (path.relative_to(package) for pattern in light for path in package.glob(pattern)):
        copy = tmp_path / "tmi" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((package / file).read_text())
    (tmp_path / "tmi/tasks/matching/__pycache__").write_text("")
    code = (
        "import tmi, torch, numpy as np\n"
        "found = tmi.match(torch.ones(1, 1, 3, 3), [tmi.FeatureTile(np.ones((2, 2)), 0.5)])\n"
        "print(tmi.__file__, len(found))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "tmi/__init__.py"), "4"]
