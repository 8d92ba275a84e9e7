"""Training by stochastic gradient descent: plain as in section 6, or with the options that are tried on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import tmi
from tmi.errors import InputError

from .penalties import penalty

if TYPE_CHECKING:
    import torch
    from torch import nn

    History = dict[str, list[float]]

Optimizer = Literal["sgd", "momentum", "adam"]

# Below so many multiplications a step, setting oneDNN up for a convolution costs more than the convolution.
_SMALL_CONVOLUTION = 1_000_000

# Below so many, the calls of torch cost more than their work: compiled loops are at least twice as fast.
_SMALL_STEP = 50_000


@dataclass(frozen=True)
class Options:
    """What is added to plain gradient descent; the defaults add nothing. See `tmi_networks.cnn.cnn` for their meaning."""

    optimizer: Optimizer = "sgd"
    weight_decay: float = 0.0
    activation_l1: float = 0.0
    orthogonality: float = 0.0
    filter_loss: float = 0.0
    early_stopping: float = 0.0
    patience: int = 3

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Options:
        """Return the options among the settings of a builder."""
        return cls(**{field.name: settings[field.name] for field in fields(cls)})

    @property
    def has_plain_steps(self) -> bool:
        """Whether each step is one of plain gradient descent on the cross-entropy."""
        return self.optimizer == "sgd" and not self._penalties

    @property
    def less(self) -> str:
        """Which penalties may be too large, to add to advice: nothing where none is on."""
        return "".join(f", or less {name} than {weight:g}" for name, weight in self._penalties.items())

    @property
    def _penalties(self) -> dict[str, float]:
        weights = {name: getattr(self, name) for name in ("weight_decay", "activation_l1", "orthogonality", "filter_loss")}
        return {name: weight for name, weight in weights.items() if weight}


PLAIN = Options()


def check_data(builder: str, data: tmi.Dataset) -> None:
    """Check that a network can be trained on a data set.

    Raises
    ------
    InputError
        For a bare task, no training images, and training scenes without a class; the message names the builder.
    """
    if not isinstance(data, tmi.Dataset):
        raise InputError(f"{builder}: needs a Dataset with training images, got {type(data).__name__}")
    if not len(data.train):
        raise InputError(f"{builder}: the data set has no training images")
    if bare := int((data.train.labels < 0).sum()):
        raise InputError(f"{builder}: {bare} of {len(data.train)} training scenes have no tile, and so no class to learn")


def trained(
    data: tmi.Dataset,
    seed: int,
    make: Callable[[], nn.Module],
    layers: list[str],
    epochs: int,
    lr: float,
    batch_size: int,
    options: Options,
) -> tmi.Network:
    """Make a module with the initial weights of a seed, and train it.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images.
    make : callable
        Returns the untrained module.
    layers : list of str
        The names of the network's layers.
    epochs, lr, batch_size, options
        See `descend`.

    Returns
    -------
    Network
        Of origin "trained", with the history of its training.

    Raises
    ------
    InputError
        See `descend`.
    """
    from tmi.runtime.seeds import fixed_seed

    def fit() -> dict[str, list[float]]:
        return descend(module, data.train, seed=seed, epochs=epochs, lr=lr, batch_size=batch_size, options=options)

    with fixed_seed(seed):
        module = make()
        history = tmi.train_once(module, fit)
    return tmi.Network(module, layers, "trained", task=data.task, history=history)


def descend(
    module: nn.Module,
    scenes: tmi.Scenes,
    *,
    seed: int,
    epochs: int,
    lr: float,
    batch_size: int,
    masks: Mapping[str, torch.Tensor] | None = None,
    options: Options = PLAIN,
    after_epoch: Callable[[int, History], None] | None = None,
) -> History:
    """Train a module on scenes by stochastic gradient descent on the cross-entropy, on one thread.

    Parameters
    ----------
    module : nn.Module
        Changed in place; float32.
    scenes : Scenes
        Each shows a tile.
    seed : int
        Decides the order of the images, and which are held out. Dropout draws from torch's global generator.
    epochs : int
        At least 0.
    lr : float
    batch_size : int
        Images a step; the last batch of an epoch may be smaller.
    masks : mapping of str to Tensor of bool, optional
        By the name of a parameter, and of its shape: the weights that may differ from 0. The others are set to 0 and stay 0.
    options : Options
    after_epoch : callable, optional
        Called as ``after_epoch(epochs, history)`` before the first epoch and after each one, while the module has the weights,
        and the history the values, that training with so many ``epochs`` alone ends with. It must not change them.

    Returns
    -------
    dict
        ``loss`` (mean cross-entropy) and ``accuracy`` (share right) of each epoch over the training images, before the step on
        them; with early stopping also ``held_out_loss``, after the epoch.

    Raises
    ------
    InputError
        If the loss or a weight stops being a finite number, early stopping holds out no image or all, or a batch of one image is
        to be normalised.
    """
    import torch

    images, labels = scenes.images.float(), scenes.labels
    generator = torch.Generator().manual_seed(seed)
    best = None
    if options.early_stopping:
        held, kept = _held_out(len(images), options.early_stopping, generator)
        best = _Best(module, images[held], labels[held], options.patience)
        images, labels = images[kept], labels[kept]
    _check_batches(module, len(images), batch_size)
    parameters = list(module.parameters())
    masked = [(parameter, masks[name]) for name, parameter in module.named_parameters() if masks and name in masks]
    _set_to_zero(masked)
    optimizer = _optimizer(module, lr, options)
    multiplications = batch_size * _multiplications(module, images[:1])
    compiled = None
    if multiplications < _SMALL_STEP and options.has_plain_steps:
        from .compiled_training import compiled_epoch

        compiled = compiled_epoch(module, images, lr, batch_size, masks or {})
    history: History = {name: [] for name in ("loss", "accuracy", *([] if best is None else ["held_out_loss"]))}
    module.train()
    with _quickest_for(multiplications), penalty(module, options) as extra:
        if after_epoch is not None:
            after_epoch(0, history)
        for epoch in tmi.track(range(epochs), "training"):
            order = torch.randperm(len(images), generator=generator)
            met = labels[order]
            if compiled is None:
                logits = _epoch(module, optimizer, images[order], met, batch_size, masked, extra)
            else:
                logits = compiled(order, met)
            history["loss"].append(float(torch.nn.functional.cross_entropy(logits, met)))
            history["accuracy"].append(float((logits.argmax(1) == met).double().mean()))
            if not all(map(_is_finite, (logits, *parameters))):
                raise InputError(
                    f"training diverged in epoch {epoch + 1} of {epochs}: use a smaller lr than {lr:g}{options.less}"
                )
            if best is not None:
                history["held_out_loss"].append(best.update())
            if after_epoch is not None:
                with nullcontext() if best is None else best.weights():
                    after_epoch(epoch + 1, history)
            if best is not None and best.is_over:
                break
        if best is not None:
            best.load()
    return history


def _epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int,
    masked: list[tuple[nn.Parameter, torch.Tensor]],
    extra: Callable[[torch.Tensor], torch.Tensor] | None,
) -> torch.Tensor:
    """Take a step of gradient descent for each batch; return the logits (N, L) of the images before it."""
    import torch
    from torch.nn.functional import cross_entropy

    seen = []
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):  # type: ignore[no-untyped-call]
        logits = module(x)
        seen.append(logits.detach())
        optimizer.zero_grad()
        loss = cross_entropy(logits, y)
        if extra is not None:
            loss = loss + extra(y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        _set_to_zero(masked)
    return torch.cat(seen)


def _optimizer(module: nn.Module, lr: float, options: Options) -> torch.optim.Optimizer:
    import torch

    # One tensor at a time: for weights this small, grouping them costs more than it saves.
    if options.optimizer == "adam":
        return torch.optim.Adam(module.parameters(), lr=lr, weight_decay=options.weight_decay, foreach=False)
    momentum = 0.9 if options.optimizer == "momentum" else 0
    return torch.optim.SGD(module.parameters(), lr=lr, momentum=momentum, weight_decay=options.weight_decay, foreach=False)


def _held_out(count: int, share: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which images are held out, as many as the share says, and which are trained on."""
    import torch

    held = round(share * count)
    if not 0 < held < count:
        raise InputError(
            f"early_stopping: {share:g} of {count} training images holds out {held}; it must be at least 1 and not all"
        )
    order = torch.randperm(count, generator=generator)
    return order[:held].sort().values, order[held:].sort().values


def _check_batches(module: nn.Module, count: int, batch_size: int) -> None:
    """Check that no batch of one image is to be normalised: its variance over the batch is 0."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if 1 in (batch_size, count % batch_size) and any(isinstance(part, _BatchNorm) for part in module.modules()):
        raise InputError(
            f"batch_norm: batches of {batch_size} from {count} images leave one with a single image; change batch_size"
        )


class _Best:
    """The weights of the epoch with the least cross-entropy on held-out images (Prechelt 1998).

    Parameters
    ----------
    module : nn.Module
    images : Tensor of float32, shape (N, C, m, n)
    labels : Tensor of int64, shape (N,)
    patience : int
        Epochs without a lower cross-entropy after which training is over.
    """

    def __init__(self, module: nn.Module, images: torch.Tensor, labels: torch.Tensor, patience: int) -> None:
        self._module, self._images, self._labels, self._patience = module, images, labels, patience
        self._loss, self._state, self._since = float("inf"), _copied(module), 0

    @property
    def is_over(self) -> bool:
        """Whether the patience is exhausted."""
        return self._since >= self._patience

    def update(self) -> float:
        """Keep the module's weights if they are the best so far; return the cross-entropy on the held-out images."""
        import torch

        self._module.eval()
        with torch.no_grad():
            loss = float(torch.nn.functional.cross_entropy(self._module(self._images), self._labels))
        self._module.train()
        if loss < self._loss:
            self._loss, self._state, self._since = loss, _copied(self._module), 0
        else:
            self._since += 1
        return loss

    def load(self) -> None:
        """Give the module the best weights so far."""
        self._module.load_state_dict(self._state)

    @contextmanager
    def weights(self) -> Iterator[None]:
        """Give the module the best weights so far, inside the block."""
        last = _copied(self._module)
        self.load()
        yield
        self._module.load_state_dict(last)


def _copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _is_finite(tensor: torch.Tensor) -> bool:
    import numpy as np

    return bool(np.isfinite(tensor.detach().numpy()).all())  # for few numbers torch takes several times as long


def _set_to_zero(masked: list[tuple[nn.Parameter, torch.Tensor]]) -> None:
    """Set the weights outside the masks to 0."""
    for parameter, mask in masked:
        parameter.data.masked_fill_(~mask, 0)


def _multiplications(module: nn.Module, image: torch.Tensor) -> int:
    """Return how many multiplications the first convolution takes for an image (1, C, m, n); 0 where there is none."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            rows, cols = (side - kernel + 1 for side, kernel in zip(image.shape[2:], part.weight.shape[2:], strict=True))
            return part.weight.numel() * rows * cols
    return 0


@contextmanager
def _quickest_for(multiplications: int) -> Iterator[None]:
    """One thread, and oneDNN only where the convolution is large enough for it; both are restored afterwards.

    Handing a tiny network's work to several threads costs more than the work. One thread also fixes the order of every sum.
    """
    import torch

    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = onednn and multiplications >= _SMALL_CONVOLUTION  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.mkldnn.enabled = onednn  # type: ignore[assignment]
