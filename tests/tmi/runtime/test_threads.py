from __future__ import annotations

import numba
import pytest
import torch
from threadpoolctl import threadpool_info

from tmi.runtime.threads import available, limited


@pytest.mark.parametrize("threads", [1, 2])
def test_everything_takes_so_many(threads):
    numba.get_num_threads()  # starts them, and changes torch's
    before = torch.get_num_threads(), numba.get_num_threads(), [(p["filepath"], p["num_threads"]) for p in threadpool_info()]
    with limited(threads):
        assert torch.get_num_threads() == threads
        assert numba.get_num_threads() == min(threads, numba.config.NUMBA_NUM_THREADS)
        assert all(pool["num_threads"] <= threads for pool in threadpool_info())
    after = torch.get_num_threads(), numba.get_num_threads(), [(p["filepath"], p["num_threads"]) for p in threadpool_info()]
    assert after == before


def test_none_leaves_them():
    before = torch.get_num_threads()
    with limited(None):
        assert torch.get_num_threads() == before


def test_cores():
    assert available() >= 1
