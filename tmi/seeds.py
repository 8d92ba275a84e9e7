"""One seed for every source of random numbers, and no trace of it afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fixed_seed(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators inside the block, and put them back after it.

    Captum's GradientShap family draws from NumPy's global state, so that a torch seed alone is not enough.

    Parameters
    ----------
    seed : int
        At least 0.
    """
    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
