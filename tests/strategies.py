"""Random tasks and images on few levels, so that exact matches, ties and kinks happen often."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi

# Levels of brightness and what is added to ε. Fourths are exact in binary, so that ε = t happens and is decided without rounding;
# tenths are rounded differently by float32 and float64, and an ε between their sums keeps rounding from deciding.
_GRIDS = ((4, 0.0), (10, 0.0137))


@st.composite
def tiles(draw, channels, rows, cols, levels=4, offset=0.0):
    """Tiles of at most rows × cols: any sides, any non-empty support, all levels."""
    shape = (channels, draw(st.integers(1, rows)), draw(st.integers(1, cols)))
    values = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, levels))) / levels
    kind = draw(st.sampled_from(["full", "nonzero", "any"]))
    support = np.ones(shape, bool) if kind == "full" else values != 0
    if kind == "any":
        support = draw(hnp.arrays(np.bool_, shape))
    if not support.any():
        support = np.ones(shape, bool)
    # Multiples of 1/8 and of the level, so that sums of |x − t| hit them.
    epsilon = draw(st.sampled_from([1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0, 2.0, 5.0]))
    return tmi.FeatureTile(values, epsilon + offset, support)


@st.composite
def tasks(draw, max_side=5, max_classes=3, max_tiles=3, grids=_GRIDS):
    """Tasks with tiles of different sizes; where classes cannot be told apart ε is lowered first, then they are merged."""
    levels, offset = draw(st.sampled_from(grids))
    shape = (draw(st.sampled_from([1, 1, 3])), *(draw(st.sampled_from(range(max_side, 0, -1))) for _ in range(2)))
    one_class = st.lists(tiles(*shape, levels=levels, offset=offset), min_size=1, max_size=max_tiles)
    groups = draw(st.lists(one_class, min_size=draw(st.sampled_from(range(max_classes, 0, -1))), max_size=max_classes))
    least = 1 / levels - offset  # below or at any distance above 0
    while True:
        try:
            return tmi.TemplateTask([tmi.TileClass(f"class {i}", group) for i, group in enumerate(groups)], shape)
        except tmi.InputError as error:
            if "told apart" not in str(error):  # the strategy itself makes no other mistake
                raise
            if any(tile.epsilon > least for group in groups for tile in group):
                groups = [[tmi.FeatureTile(tile.values, least, tile.support) for tile in group] for group in groups]
            else:
                groups = [groups[0] + groups[-1], *groups[1:-1]]


@st.composite
def images_of(draw, task, min_images=0, max_images=4, dtype=None):
    """Images on the levels of the task's tiles, some with a tile pasted in."""
    levels = 10 if any(abs(t.epsilon * 8 % 1) > 1e-9 for t in task.tiles) else 4
    count = draw(st.sampled_from(range(max_images, min_images - 1, -1)))  # not mostly none, as integers would be
    grid = draw(hnp.arrays(np.int64, (count, *task.image_shape), elements=st.integers(0, levels)))
    dtype = dtype or draw(st.sampled_from([torch.float32, torch.float64]))
    images = grid / levels
    for image in images:
        if draw(st.booleans()):
            index = draw(st.integers(0, len(task.tiles) - 1))
            _, high, wide = task.tiles[index].shape
            row, col = (draw(st.integers(0, limit - 1)) for limit in task.windows[index])
            image[:, row : row + high, col : col + wide] = task.tiles[index].values
    return torch.from_numpy(images).to(dtype)
