"""The check of all images: shape, dtype, finite, within [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tmi.errors import InputError

from .hints import order_hint, scale_hint

if TYPE_CHECKING:
    import torch


def check_images(images: Any, image_shape: tuple[int, int, int] | None = None, what: str = "images") -> torch.Tensor:
    """Return images as a floating-point tensor, or raise an error that names the first fault.

    Parameters
    ----------
    images : Tensor or array, float32 or float64, shape (N, C, m, n)
        Values in [0, 1]. The identity behind Theorem 1 does not hold outside (fourth remark on the paper's errors).
    image_shape : (int, int, int), optional
        The required (C, m, n).
    what : str
        Their name in messages.

    Returns
    -------
    Tensor, shape (N, C, m, n)
        A tensor is returned itself, without a copy.

    Raises
    ------
    InputError
        For another number of dimensions, shape or dtype, for NaN and infinities, and for values outside [0, 1].
    """
    import numpy as np
    import torch

    if isinstance(images, np.ndarray) and (not images.flags.writeable or min(images.strides, default=0) < 0):
        images = images.copy()  # torch cannot share read-only arrays or negative strides
    try:
        tensor = torch.as_tensor(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what}: expected a tensor of shape (N, C, m, n), got {type(images).__name__} ({error})") from None
    if tensor.layout != torch.strided:
        raise InputError(f"{what}: expected a dense tensor, got layout {tensor.layout}; use .to_dense()")
    if tensor.ndim != 4:
        hint = "; a single image is images[None]" if tensor.ndim == 3 else ""
        raise InputError(f"{what}: expected shape (N, C, m, n), got {tuple(tensor.shape)}{hint}")
    if image_shape is not None and tuple(tensor.shape[1:]) != tuple(image_shape):
        hint = order_hint(tensor.shape, image_shape)
        raise InputError(f"{what}: expected (C, m, n) = {tuple(image_shape)}, got {tuple(tensor.shape[1:])}{hint}")
    if tensor.dtype not in (torch.float32, torch.float64):
        hint = "; divide by 255 and convert first" if tensor.dtype == torch.uint8 else ""
        raise InputError(f"{what}: expected float32 or float64, got {str(tensor.dtype).removeprefix('torch.')}{hint}")
    if tensor.numel():
        low, high = (float(v) for v in torch.aminmax(tensor.detach()))
        if not (low >= 0 and high <= 1):  # NaN fails this too: aminmax propagates it
            bad = ~((tensor >= 0) & (tensor <= 1))
            first = tuple(int(i) for i in bad.nonzero()[0])
            raise InputError(
                f"{what}: {int(bad.sum())} values are NaN or outside [0, 1], the first at (image, channel, row, col) = "
                f"{first}: {float(tensor.detach()[first]):g}{scale_hint(low, high)}"
            )
    return tensor
