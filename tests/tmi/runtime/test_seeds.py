from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch

from tmi.runtime.seeds import fixed_seed


def draw():
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002


def test_same_seed_same_numbers():
    with fixed_seed(3):
        one = draw()
    with fixed_seed(3):
        assert draw() == one
    with fixed_seed(4):
        assert all(a != b for a, b in zip(draw(), one, strict=True))


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_leaves_no_trace(seed):
    with fixed_seed(11):
        expected = [draw(), draw()]
    with fixed_seed(11):
        first = draw()
        with fixed_seed(seed):
            draw()
        assert [first, draw()] == expected


@pytest.mark.parametrize("wrong", [2**70, "1"])
def test_leaves_no_trace_after_an_error(wrong):
    with fixed_seed(11):
        expected = draw()
    with fixed_seed(11):
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            fixed_seed(wrong).__enter__()
        with contextlib.suppress(ZeroDivisionError), fixed_seed(5):
            draw()
            raise ZeroDivisionError
        assert draw() == expected
