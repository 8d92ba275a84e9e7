"""Which units of a layer see the pasted tile, which see its background, and which see both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi_attribution.receptive import readers

from ..linear.exact_network import window_numbers
from ..pipeline.features import own_kind

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    import tmi

Region = Literal["tile", "support"]

INSIDE, BORDER, OUTSIDE = 0, 1, 2
"""A unit reads values of the region alone, of the region and of the rest, or none of the region."""

NAMES = ("inside", "border", "outside")

_HELD = 50_000_000  # positions that are kept for regions that come again, a byte each


def region_of(scenes: tmi.Scenes, region: Region) -> torch.Tensor:
    """Return which values of each image belong to the tile, bool (N, C, m, n).

    Parameters
    ----------
    scenes : Scenes
    region : {"tile", "support"}
        All values that pasting the tile sets, so that the others are the background's; or the pixels of its support.
    """
    if region == "support":
        return scenes.masks[:, None].expand(-1, scenes.task.image_shape[0], -1, -1)
    black, white = (scenes.with_backgrounds(value).images for value in (0.0, 1.0))
    return black == white


class Positions:
    """Where the units of a layer lie with respect to a region of the image.

    Parameters
    ----------
    network : Network
    layer : str
        Its receptive fields follow from the module's connections. A layer whose neurons stand for tiles at places reads the
        support of those tiles.
    """

    def __init__(self, network: tmi.Network, layer: str) -> None:
        self.network, self.layer = network, layer
        table = network.neurons(layer)
        self._windows: NDArray[np.int64] | None = None
        self._module: Any = None
        self._seen: dict[bytes, NDArray[np.int8]] = {}  # scenes of equal tiles at equal places have one region
        if table is not None and own_kind(table) == "tile-place":
            self._windows = window_numbers(network.task, *(table[name].to_numpy(np.int64) for name in ("tile", "row", "col")))
        else:
            self._module = network.plain().module

    def of(self, region: torch.Tensor) -> NDArray[np.int8]:
        """Return the position of each unit.

        Parameters
        ----------
        region : Tensor of bool, shape (N, C, m, n)

        Returns
        -------
        ndarray of int8, shape (N, units)
            `INSIDE`, `BORDER` or `OUTSIDE`.

        Raises
        ------
        InputError
            If the module refuses NaN and its neurons' meaning is not known.
        """
        keys = [of_image.tobytes() for of_image in np.packbits(region.flatten(1).numpy(), axis=1)]
        new = [i for i, key in enumerate(keys) if key not in self._seen and key not in keys[:i]]
        if new:
            found = self._by_windows(region[new]) if self._module is None else self._by_connections(region[new])
            fresh = dict(zip([keys[i] for i in new], found, strict=True))
            known = self._seen | fresh
            if len(known) * found.shape[1] <= _HELD:
                self._seen = known
            return np.stack([known[key] for key in keys])
        return np.stack([self._seen[key] for key in keys])

    def _by_connections(self, region: torch.Tensor) -> NDArray[np.int8]:
        step = getattr(self.network.module, "images_at_once", len(region))
        parts = []
        for start in range(0, len(region), step):
            part = region[start : start + step]
            reads = (readers(self._module, self.layer, marked, self._of_layer) for marked in (part, ~part))
            parts.append(_positions(*reads))
        return np.concatenate(parts)

    def _of_layer(self, output: Any) -> torch.Tensor:
        activations: torch.Tensor = self.network.part(self.layer, output)
        return activations

    def _by_windows(self, region: torch.Tensor) -> NDArray[np.int8]:
        import torch

        parts = []
        for tile in self.network.task.tiles:
            support = torch.tensor(tile.support)
            count = torch.nn.functional.conv2d(region.float(), support[None].float()).flatten(1)
            # Sums of zeros and ones, up to rounding of a fast convolution.
            parts.append(_positions((count > 0.5).numpy(), (count < int(support.sum()) - 0.5).numpy()))
        return np.concatenate(parts, axis=1)[:, self._windows]


def _positions(sees_region: NDArray[np.bool_], sees_rest: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(sees_region, np.where(sees_rest, BORDER, INSIDE), OUTSIDE).astype(np.int8)
