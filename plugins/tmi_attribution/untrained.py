"""The control of attribution methods: the same network before it was trained, and the truth about the same images."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tmi

    from .truth import Truth


def untrained(network: tmi.Network, truth: Truth) -> tuple[tmi.Network, Truth] | None:
    """Return a network as it was before training, with the truth about the same images and logits; shared by all methods.

    Parameters
    ----------
    network : Network
    truth : Truth
        About its pixels.

    Returns
    -------
    (Network, Truth) or None
        None where nothing was trained, see `tmi.Network.untrained`.
    """

    def build() -> tuple[tmi.Network, Truth] | None:
        before = network.untrained()
        if before is None:
            return None
        module = copy.deepcopy(before.plain().module).eval().requires_grad_(False)
        return before, truth.replaced(module=module.to(truth.images.device))

    return truth.once("untrained", build)
