"""The short form of what ``python -m tests.endurance`` prints, one part a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.endurance.__main__ import PARTS
from tests.endurance.rows import Part

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("part", PARTS)
def test_it_holds(part):
    # In a process of its own: it forks, which is no good where threads have run.
    done = subprocess.run(
        [sys.executable, "-m", "tests.endurance", "--quick", part],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1400,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_what_goes_wrong_does_not_hold():
    part = Part("part")
    with part.step("fine") as said:
        said.append("=all of it")
    with part.step("wrong") as said:
        said += ["one", "=all of it", "two"]
    with part.step("raises"):
        raise KeyError("x")
    part.add("a time", "3 s", None)
    assert [row.holds for row in part.rows] == [True, False, False, None]
    assert [row.found for row in part.rows] == ["all of it", "2 wrong: one; two", "1 wrong: KeyError: 'x'", "3 s"]
