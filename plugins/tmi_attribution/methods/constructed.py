"""Controls for constructed networks: their exact attribution, and integrated gradients in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi
from tmi.errors import InputError

from .. import exact as closed_form

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ..truth import Truth

    Array = NDArray[np.float64]


@tmi.attribution_method(needs=["constructed"], control=True, images_at_once=256)
def exact(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, truth: Truth) -> Array:
    """Each active window of the target class gives ε/|S| − |x − t| to each pixel of its support; the sum is the logit.

    Raises
    ------
    InputError
        If the network is not constructed.
    """
    if truth.exact is None:
        raise InputError("exact: the network is not constructed, so that its exact attribution is not known")
    return truth.exact


@tmi.attribution_method(needs=["constructed"], control=True, complete="baselines", images_at_once=256)
def exact_integrated_gradients(
    module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, truth: Truth, baselines: torch.Tensor
) -> Array:
    """Integrated gradients (Sundararajan et al. 2017) in closed form, from the tiles alone.

    Raises
    ------
    InputError
        If the network is not constructed.
    """
    if truth.exact is None:
        raise InputError("exact-integrated-gradients: the network is not constructed, so that there is no closed form")
    return closed_form.integrated_gradients(truth.scenes.task, images, baselines, targets)
