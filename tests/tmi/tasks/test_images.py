from __future__ import annotations

import numpy as np
import pytest
import torch

from tmi.errors import InputError
from tmi.tasks.images import check_images


def test_tensor_is_not_copied():
    images = torch.rand(2, 1, 3, 3)
    assert check_images(images) is images


def test_array_may_be_read_only_or_flipped():
    array = np.random.default_rng(0).random((2, 1, 3, 3))
    assert torch.equal(check_images(array[..., ::-1]), torch.tensor(array[..., ::-1].copy()))
    array.setflags(write=False)
    assert torch.equal(check_images(array), torch.tensor(array))


def test_no_images_are_fine():
    assert check_images(torch.zeros(0, 1, 3, 3)).shape == (0, 1, 3, 3)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.0])
def test_both_ends_belong(value):
    check_images(torch.full((1, 1, 1, 1), value))


@pytest.mark.parametrize("value", [np.nextafter(0.0, -1), np.nextafter(1.0, 2), np.nan, np.inf, -np.inf])
def test_nothing_beyond_them_does(value):
    with pytest.raises(InputError, match=r"^backgrounds: 1 values are NaN or outside"):
        check_images(np.full((1, 1, 1, 1), value), what="backgrounds")


def test_shape_of_the_task():
    with pytest.raises(InputError, match=r"expected \(C, m, n\) = \(1, 4, 4\), got \(1, 4, 5\)"):
        check_images(torch.zeros(2, 1, 4, 5), (1, 4, 4))
