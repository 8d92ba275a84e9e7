from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from tests.tmi.tasks.test_scenes import two
from tmi import Dataset, InputError, Scenes


class TestDataset:
    def test_holds_its_own_scenes(self, task):
        data = Dataset(task, two(task), two(task)[[0]])
        assert repr(data).startswith("Dataset(unnamed: TemplateTask(2 classes, 2 tiles, images 1×4×5), 2 train, 1 test")
        with pytest.raises(FrozenInstanceError):
            data.seed = 3

    def test_refuses(self, task, squares):
        with pytest.raises(InputError, match="train: expected Scenes, got Tensor"):
            Dataset(task, torch.zeros(2), two(task))
        with pytest.raises(InputError, match="test: its scenes belong to another task"):
            Dataset(task, two(task), Scenes.draw(squares, 2, rng=np.random.default_rng(0)))
