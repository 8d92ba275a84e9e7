"""One seed for every source of random numbers; their states are restored afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fixed_seed(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators inside the block, and restore their states after it.

    Captum's GradientShap family draws from NumPy's global state, so that a torch seed alone is not enough.

    Parameters
    ----------
    seed : int
        From 0 to 2⁶³ − 1.
    """
    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    # Devices that are not in use are left alone: reading their state would initialise them.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
