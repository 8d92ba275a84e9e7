"""A sparse autoencoder: a wide layer with few active codes, trained to reproduce its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_BATCH = 256
_RATE = 1e-3


class TopKAutoencoder:
    """Codes are the k largest pre-activations, the others 0: the k-sparse autoencoder (Makhzani and Frey 2013, Gao et al. 2024).

    ``codes = top_k(σ(E (x − b) + e))``, ``x ≈ D codes + b``. Top-k rather than an L1 penalty: the sparsity of the codes is a
    setting and needs no search for a penalty in each layer, and the codes are not shrunk. Encoder and decoder are not tied: where
    atoms are not orthogonal, the direction that separates an atom from the others is not the atom itself. The encoder starts as
    the decoder's transpose, and atoms are kept at length 1.

    Parameters
    ----------
    atoms : int
    active : int
        How many codes may be active at a time.
    seed : int
        Decides the first weights and the order of the samples; no global random state is used.
    steps : int
        Training steps of Adam, on 256 samples each.
    """

    def __init__(self, atoms: int, active: int, seed: int, steps: int = 1500) -> None:
        self.atoms, self.active, self.seed, self.steps = atoms, min(active, atoms), seed, steps

    def fit(self, samples: Array) -> TopKAutoencoder:
        """Train on samples, float32 (N, units); their norm should be about 1."""
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.from_numpy(samples)
        # The caller may have switched gradients off.
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone()
            decoder = torch.randn(self.atoms, x.shape[1], generator=generator)
            decoder /= decoder.norm(dim=1, keepdim=True)
            self.encoder, self.decoder = decoder.clone().requires_grad_(), decoder.requires_grad_()
            self.offset, self.bias = x.mean(0).requires_grad_(), torch.zeros(self.atoms, requires_grad=True)
            weights = [self.encoder, self.decoder, self.offset, self.bias]
            optimizer = torch.optim.Adam(weights, lr=_RATE)
            for _ in range(self.steps):
                batch = x[torch.randint(len(x), (_BATCH,), generator=generator)]
                error = (self._encode(batch) @ self.decoder + self.offset - batch).square().sum(1).mean()
                optimizer.zero_grad()
                error.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                with torch.no_grad():
                    self.decoder /= self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12)
        for weight in weights:
            weight.requires_grad_(False)
        return self

    def transform(self, samples: Array) -> Array:
        """Return the codes, float32 (N, atoms)."""
        with torch.no_grad():
            codes: Array = self._encode(torch.from_numpy(samples)).numpy()
        return codes

    def restore(self, codes: Array) -> Array:
        """Return the samples that the codes reconstruct, float32 (N, units)."""
        with torch.no_grad():
            samples: Array = (torch.from_numpy(codes) @ self.decoder + self.offset).numpy()
        return samples

    def _encode(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.relu((x - self.offset) @ self.encoder.T + self.bias)
        values, place = z.topk(self.active, 1)
        return torch.zeros_like(z).scatter(1, place, values)
