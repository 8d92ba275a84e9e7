"""Sparse autoencoders of five kinds, with one training loop; several fits are trained together as one batched product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Rule = Literal["top-k", "batch-top-k", "l1", "gated", "jump-relu"]
RULES: tuple[Rule, ...] = get_args(Rule)

BATCH = 128
_RATE = 1e-2
_WIDTH = 0.1  # of the kernel that gives JumpReLU's thresholds a gradient; samples have a mean square norm of 1
_RESAMPLED = (0.25, 0.5)  # after these shares of the steps latents that were not active since the last time start again
_COOLED = 0.7  # from this share of the steps on the rate falls to 0


class SparseAutoencoders:
    """Autoencoders ``x ≈ codes D + b`` with few active codes, all trained on the same samples.

    The kinds differ in how codes follow from the pre-activations z = (x − b) E + e, and in the loss beside the squared error:

    - ``top-k``: the k largest σ(z), the others are 0 (Makhzani and Frey 2013; Gao et al. 2024, arXiv:2406.04093).
    - ``batch-top-k``: the k·N largest of a batch of N; later those above the threshold that training averaged (Bussmann et al.
      2024, arXiv:2412.06410).
    - ``l1``: σ(z), with a penalty on their sum (Bricken et al. 2023).
    - ``gated``: σ(exp(r) ⊙ (x − b) E + c) where z > 0; the penalty and an auxiliary error are on σ(z), with the decoder held
      (Rajamanoharan et al. 2024, arXiv:2404.16014).
    - ``jump-relu``: z where z > θ, with a penalty on their number; a rectangular kernel gives θ its gradient (Rajamanoharan et
      al. 2024, arXiv:2407.14435).

    Atoms are the rows of D, kept at length 1. The encoder starts as the decoder's transpose and b at 0. A latent that is dead,
    active on no sample since the last check, starts again from the residual of a sample with a large error; Bricken et al. (2023)
    take the sample itself.

    Parameters
    ----------
    rule : {"top-k", "batch-top-k", "l1", "gated", "jump-relu"}
    atoms : int
    strengths : list of float
        One for each autoencoder: k for ``top-k`` and ``batch-top-k``, else the weight of the penalty.
    seeds : list of int
        One for each autoencoder: decides its first weights and its order of the samples. No global random state is used.
    steps : int
        Training steps of Adam, on 128 samples each.
    offset : bool
        Whether b is trained; otherwise it stays 0.

    Attributes
    ----------
    decoder : Tensor of float32, shape (fits, atoms, neurons)
    """

    def __init__(
        self, rule: Rule, atoms: int, strengths: list[float], seeds: list[int], steps: int = 1500, *, offset: bool = True
    ) -> None:
        self.rule, self.atoms, self.steps, self.seeds, self.with_offset = rule, atoms, steps, seeds, offset
        self.strengths = strengths

    def fit(self, samples: Array) -> SparseAutoencoders:
        """Train on samples, float32 (N, neurons); their mean square norm should be 1."""
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        # The caller may have switched gradients off.
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.from_numpy(samples).clone()
            self.strength, self._threshold = torch.tensor(self.strengths, dtype=torch.float32), torch.zeros(len(self.seeds))
            weights = self._start(x, generators)
            optimizer = torch.optim.Adam(weights, lr=_RATE)
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: min(1.0, (1 - step / self.steps) / (1 - _COOLED))
            )
            checks = {int(share * self.steps) for share in _RESAMPLED}
            used = torch.zeros(len(self.seeds), self.atoms, dtype=torch.bool)
            for step in range(self.steps):
                batch = x[torch.stack([torch.randint(len(x), (BATCH,), generator=g) for g in generators])]
                codes, loss = self._loss(batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    self.decoder /= self.decoder.norm(dim=2, keepdim=True).clamp_min(1e-12)
                    used |= (codes > 0).any(1)
                    if step in checks:
                        self._resample(x, ~used, optimizer, generators)
                        used.zero_()
        for weight in weights:
            weight.requires_grad_(False)
        return self

    def transform(self, samples: Array) -> Array:
        """Return the codes, float32 (fits, N, atoms)."""
        with torch.no_grad():
            codes: Array = self._codes(torch.from_numpy(samples).expand(len(self.seeds), -1, -1), training=False)[0].numpy()
        return codes

    def restore(self, codes: Array) -> Array:
        """Return the samples that the codes (fits, N, atoms) reconstruct, float32 (fits, N, neurons)."""
        with torch.no_grad():
            samples: Array = (torch.from_numpy(codes) @ self.decoder + self.offset).numpy()
        return samples

    def _start(self, x: torch.Tensor, generators: list[torch.Generator]) -> list[torch.Tensor]:
        decoder = torch.stack([torch.randn(self.atoms, x.shape[1], generator=g) for g in generators])
        decoder /= decoder.norm(dim=2, keepdim=True)
        fits = len(generators)
        self.decoder, self.encoder = decoder, decoder.transpose(1, 2).clone()
        self.offset, self.bias = torch.zeros(fits, 1, x.shape[1]), torch.zeros(fits, 1, self.atoms)
        weights = [self.decoder, self.encoder, self.bias, *([self.offset] if self.with_offset else [])]
        if self.rule == "gated":
            self.scale, self.magnitude = torch.zeros(fits, 1, self.atoms), torch.zeros(fits, 1, self.atoms)
            weights += [self.scale, self.magnitude]
        if self.rule == "jump-relu":
            self.log_threshold = torch.full((fits, 1, self.atoms), -3.0)
            weights += [self.log_threshold]
        return [weight.requires_grad_() for weight in weights]

    def _loss(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes of batches (fits, N, neurons) and the loss, summed over the fits, which do not interact."""
        codes, gate = self._codes(x, training=True)
        error = (codes @ self.decoder + self.offset - x).square().sum(2).mean(1)
        if self.rule == "l1":
            error = error + self.strength * codes.sum(2).mean(1)
        elif self.rule == "gated":
            auxiliary = (gate @ self.decoder.detach() + self.offset.detach() - x).square().sum(2).mean(1)
            error = error + auxiliary + self.strength * gate.sum(2).mean(1)
        elif self.rule == "jump-relu":
            error = error + self.strength * gate.sum(2).mean(1)
        return codes, error.sum()

    def _codes(self, x: torch.Tensor, *, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes, and what the penalty is on: the gates of ``gated`` and ``jump-relu``, else the codes."""
        projected = (x - self.offset) @ self.encoder
        z = torch.relu(projected + self.bias)
        if self.rule == "gated":
            codes = torch.relu(self.scale.exp() * projected + self.magnitude) * (z > 0)
            return codes, z
        if self.rule == "jump-relu":
            threshold = self.log_threshold.exp()
            near = (z.detach() - threshold).abs() < _WIDTH / 2
            # 1 where z > θ; its gradient with respect to θ is −1/width near the threshold.
            slope = -(threshold - threshold.detach()) / _WIDTH * near
            above = (z > threshold) + slope
            return z * (z > threshold) + threshold.detach() * slope, above
        if self.rule in ("top-k", "batch-top-k"):
            z = z * (z >= self._cut(z.detach(), training))
        return z, z

    def _cut(self, z: torch.Tensor, training: bool) -> torch.Tensor:
        """Return the least value that stays: (fits, N, 1) for ``top-k``, (fits, 1, 1) for ``batch-top-k``."""
        rank = self.strength.round().long().clamp(1, self.atoms)
        if self.rule == "top-k":
            largest = z.topk(int(rank.max()), dim=2).values
            return largest.gather(2, (rank - 1)[:, None, None].expand(-1, z.shape[1], 1))
        if training:
            rank = rank * z.shape[1]
            cut = z.flatten(1).topk(int(rank.max()), dim=1).values.gather(1, (rank - 1)[:, None])[:, 0]
            self._threshold = cut if not self._threshold.any() else torch.lerp(self._threshold, cut, 0.01)
        else:
            cut = self._threshold
        return cut[:, None, None]

    def _resample(
        self, x: torch.Tensor, dead: torch.Tensor, optimizer: torch.optim.Optimizer, generators: list[torch.Generator]
    ) -> None:
        """Start dead latents again, from residuals of samples that are drawn in proportion to the square of their error."""
        every: Any = x.expand(len(self.seeds), -1, -1)
        rest = every - self._codes(every, training=False)[0] @ self.decoder - self.offset
        for fit, generator in enumerate(generators):
            latents = dead[fit].nonzero().flatten()
            chances = rest[fit].square().sum(1).square()
            if not len(latents) or not float(chances.sum()) > 0:
                continue
            chosen = torch.multinomial(chances, len(latents), replacement=True, generator=generator)
            atoms = rest[fit, chosen] / rest[fit, chosen].norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.decoder[fit, latents], self.encoder[fit][:, latents] = atoms, atoms.T
            self.bias[fit, 0, latents] = 0
            if self.rule == "jump-relu":
                self.log_threshold[fit, 0, latents] = -3.0
            if self.rule == "gated":
                self.scale[fit, 0, latents] = self.magnitude[fit, 0, latents] = 0
            for weight, axis in ((self.decoder, 0), (self.encoder, 1), (self.bias, 1)):
                for moment in ("exp_avg", "exp_avg_sq"):
                    optimizer.state[weight][moment][fit].index_fill_(axis, latents, 0)
