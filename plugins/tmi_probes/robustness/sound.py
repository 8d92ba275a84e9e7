"""Sound radii of a network's answers: the certificate of a constructed network, the linear region's of any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tmi
from tmi.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ..linear.exact_network import ExactNetwork
    from ..linear.region import Norm

Source = Literal["certificate", "region"]
MEANING: dict[Source, str] = {
    "certificate": "the certificate of a constructed network",
    "region": "the distance to the border of the image's linear region, and there to another answer",
}


class SoundRadius:
    """A radius below which no change of an image alters the answer.

    Parameters
    ----------
    network : Network
    exact : ExactNetwork
        The same in float64.
    image : Tensor of float64, shape (1, C, m, n)
        An image on which it is examined.

    Attributes
    ----------
    source : {"certificate", "region"}
        Where it is known from.

    Raises
    ------
    InputError
        If no radius is known: the network is neither constructed for φ nor piecewise linear (with the layer that is not), or too
        large.
    """

    def __init__(self, network: tmi.Network, exact: ExactNetwork, image: torch.Tensor) -> None:
        self._network = network
        self.source: Source = "certificate"
        if network.origin == "constructed":
            try:
                network.certificate(image)
            except InputError:  # its logits are not φ
                pass
            else:
                return
        from ..linear.region import LinearRegions

        self._regions = LinearRegions(exact, image)
        self.source = "region"

    def radii(self, images: torch.Tensor, answers: torch.Tensor) -> dict[Norm, NDArray[np.float64]]:
        """Return the radii in both norms.

        Parameters
        ----------
        images : Tensor of float64, shape (N, C, m, n), in [0, 1]
        answers : Tensor of int64, shape (N,)
            The predicted class; −1 where there is none, which gives 0.

        Returns
        -------
        dict of {"l1", "linf"} to ndarray of float64, shape (N,)
            A certificate is an L1 radius. A window's distance changes by at most |S| · ‖δ‖_∞, so that this radius over the size
            of the largest support is one in L∞.
        """
        if self.source == "region":
            return self._regions.radii(images, answers)
        radius = self._network.certificate(images, answers).numpy()
        largest = max(int(tile.support.sum()) for tile in self._network.task.tiles)
        return {"l1": radius, "linf": radius / largest}
