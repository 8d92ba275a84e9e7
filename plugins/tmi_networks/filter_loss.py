"""The filter loss of Zhang, Wu and Zhu (2018, "Interpretable convolutional neural networks"): class-specific part detectors.

A filter's feature map x, of n × n places, is compared with n² + 1 templates: T_μ for each place μ, which is high at μ and falls
with the distance from it, and T⁻, which is negative everywhere. The loss of a filter is −MI(X; T), the mutual information between
its feature maps and the templates:

    t_μ(i, j) = τ · max(1 − β ‖(i, j) − μ‖₁ / n, −1),   t⁻ = −τ,   τ = 0.5 / n²,   β = 4
    p(T) = 1 / (n² + 1),   p(x|T) = exp(Σ x t) / Z_T,   Z_T = Σ_x exp(Σ x t),   p(x) = Σ_T p(T) p(x|T)

Its gradient, with Z_T held constant, is a sum over all templates. The paper keeps one of them for each image, which is
what makes the filter class-specific: T_μ with μ the place of the map's maximum where the image is of the filter's class, else T⁻:

    ∂ Loss / ∂ x(i, j) ≈ −p(T) t(i, j) / Z_T · exp(Σ x t) · (Σ x t − log Z_T − log p(x))

A filter's class is the one on whose images its activations are largest on average.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_BETA = 4.0
_KEPT = 0.9  # of a filter's mean activation on a class, from batch to batch


class FilterLoss:
    """The filter loss of a layer of feature maps, batch by batch.

    Five things differ from the paper. The feature maps are not multiplied by the template of their maximum on their way to the
    next layer, so that the network stays one of convolutions and ReLUs. X is the batch. The loss's weight is the same for all
    filters and epochs. Maps may be rectangles, of which n is the geometric mean of the sides. The mean activations that choose a
    filter's class are moving averages over batches.
    """

    def __init__(self) -> None:
        self._means: torch.Tensor | None = None
        self._templates: torch.Tensor | None = None

    def __call__(self, maps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return a number whose gradient is that of the loss, the sum over the filters.

        Parameters
        ----------
        maps : Tensor, shape (N, F, m, n)
            Outputs of a ReLU.
        labels : Tensor of int64, shape (N,)
        """
        import torch

        if self._templates is None or self._templates.shape[1] != maps[0, 0].numel():
            self._templates = templates(*maps.shape[2:]).to(maps)
        flat = maps.flatten(2).transpose(0, 1)  # filter, image, place
        with torch.no_grad():
            scores = flat @ self._templates.T  # filter, image, template
            log_likelihood = scores - scores.logsumexp(1, keepdim=True)
            count = len(self._templates)
            log_p = log_likelihood.logsumexp(2) - math.log(count)
            own = labels == self._classes(flat, labels)[:, None]
            chosen = torch.where(own, flat.argmax(2), count - 1)  # filter, image
            likelihood = log_likelihood.gather(2, chosen[..., None]).squeeze(2)
            slopes = -likelihood.exp() * (likelihood - log_p) / count
        return (slopes * (flat * self._templates[chosen]).sum(2)).sum()

    def _classes(self, flat: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Add a batch, activations (F, N, place) and labels (N,), to the moving averages; return the class of each filter."""
        import torch

        present = labels.unique()  # type: ignore[no-untyped-call]
        means = torch.stack([flat[:, labels == label].sum(2).mean(1) for label in present], 1)
        size = int(present.max()) + 1
        if self._means is None:
            self._means = flat.new_full((len(flat), size), float("nan"))
        elif self._means.shape[1] < size:
            more = self._means.new_full((len(flat), size - self._means.shape[1]), float("nan"))
            self._means = torch.cat([self._means, more], 1)
        before = self._means[:, present]
        self._means[:, present] = torch.where(before.isnan(), means, _KEPT * before + (1 - _KEPT) * means)
        return self._means.nan_to_num(nan=-1.0).argmax(1)


def templates(rows: int, cols: int) -> torch.Tensor:
    """Return the templates of maps with so many rows and columns, row by row: one for each place, then the negative one.

    Returns
    -------
    Tensor of float64, shape (rows · cols + 1, rows · cols)
    """
    import torch

    places = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).double()
    tau, side = 0.5 / len(places), len(places) ** 0.5
    positive = (1 - _BETA * torch.cdist(places, places, p=1) / side).clamp(min=-1)
    return tau * torch.cat([positive, positive.new_full((1, len(places)), -1)])
