"""The number of threads: one setting for torch, numba, and the libraries below NumPy and scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Limit torch, numba, BLAS and OpenMP to a number of threads inside the block.

    Parameters
    ----------
    threads : int or None
        None leaves the numbers as they are. With the same number results agree bit for bit. With another number sums may be
        taken in another order: what is evaluated, and a constructed network, agrees to rounding. Training amplifies rounding
        step by step, so that a trained network is another one, as different as one of another run of the training.
    """
    if threads is None:
        yield
        return
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    # torch's number is set last, because numba changes it when it starts its own threads.
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
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
