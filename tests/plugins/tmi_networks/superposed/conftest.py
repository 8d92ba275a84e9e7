"""Tasks in superposition: a small one with tiles of two sizes, and random ones."""

import numpy as np
import pytest
from hypothesis import strategies as st

import tmi


@pytest.fixture(scope="session")
def small():
    """Eight tiles in two classes, one of them smaller and with another ε, far enough apart for six neurons."""
    rng = np.random.default_rng(3)
    tiles = [tmi.FeatureTile(rng.random((1, 3, 3)), 0.25) for _ in range(7)] + [tmi.FeatureTile(rng.random((1, 2, 3)), 0.125)]
    return tmi.TemplateTask([tmi.TileClass("one", tiles[:4]), tmi.TileClass("other", tiles[4:])], (1, 5, 4))


@st.composite
def tasks(draw, least=4, most=8):
    """Tasks of one class whose tiles are of several sizes, supports and tolerances, or all of one; values are fourths."""
    seed = draw(st.integers(0, 2**20))
    rng = np.random.default_rng(seed)
    channels, high, wide = draw(st.sampled_from([(1, 2, 2), (1, 3, 2), (1, 3, 3), (3, 2, 2), (1, 1, 4)]))
    alike = draw(st.booleans())
    base = 2.0 ** -draw(st.integers(0, 4))
    tiles = []
    for _ in range(draw(st.integers(least, most))):
        shape = (channels, high, wide) if alike else (channels, rng.integers(1, high + 1), rng.integers(1, wide + 1))
        support = rng.random(shape) < (1 if alike else 0.8)
        support = support if support.any() else np.ones(shape, bool)
        levels = rng.choice([1, 2, 4])
        tiles.append(
            tmi.FeatureTile(rng.integers(0, levels + 1, shape) / levels, base * (1 if alike else rng.choice([0.5, 1])), support)
        )
    extra = draw(st.sampled_from([0, 1]))
    return tmi.TemplateTask([tmi.TileClass("all", tiles)], (channels, high + extra, wide))
