"""How many threads a computation takes: one number for torch, numba, and the libraries below NumPy and scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Let torch, numba, BLAS and OpenMP take so many threads inside the block.

    Parameters
    ----------
    threads : int or None
        None leaves them as they are. Sums may be taken in another order with another number, so that results agree to rounding
        only; with the same number they agree bit for bit.
    """
    if threads is None:
        yield
        return
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    # torch's number comes last: numba, when it starts its own threads, changes it.
    numba_before = numba.get_num_threads()
    torch_before = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            yield
    finally:
        numba.set_num_threads(numba_before)
        torch.set_num_threads(torch_before)


def available() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
