from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tmi
from tests.tmi.tasks.matching.compared import rows, same
from tmi import FeatureTile


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


def test_tiles_that_change_their_tolerance_are_packed_again():
    images, tile = torch.full((1, 1, 4, 4), 0.5), FeatureTile(np.ones((4, 4)), 1.0)
    assert not len(tmi.match(images, tile))
    tile.epsilon = 9.0
    assert tmi.match(images, tile).slack.tolist() == [1.0]


@pytest.mark.slow
def test_runs_where_compiled_code_cannot_be_kept(tmp_path):
    """A package folder and a home in which nothing can be written (a file in the way stops root too)."""
    package = Path(tmi.__file__).parent
    light = ("__init__.py", "_lazy.py", "_version.py", "errors.py", "tasks/*.py", "tasks/matching/*.py")
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
