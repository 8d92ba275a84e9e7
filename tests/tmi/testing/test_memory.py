"""The greatest memory of a block is measured, also where it was given back before the end."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tmi.testing import memory
from tmi.testing.memory import peak_megabytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def test_the_peak_of_a_block():
    for expected in (120, 0):  # the second block does not see the memory of the first
        with peak_megabytes() as found:
            np.ones(expected * 125_000)
        assert found[0] == pytest.approx(expected, abs=20)


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_SELF", tmp_path / "nothing")
    with peak_megabytes() as found:
        pass
    assert found == []
