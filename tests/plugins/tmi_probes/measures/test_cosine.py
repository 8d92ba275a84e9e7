"""Cosines over pairs of groups, pair by pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_probes.measures.cosine import cosine, mean_cosine


@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=8), st.data())
def test_mean_cosine_is_the_mean_over_pairs(rows, data):
    vectors = np.array(rows, float)
    groups = np.array([data.draw(st.integers(0, 2)) for _ in rows])
    for same in (True, False):
        pairs = [
            cosine(vectors[[i]], vectors[[j]])[0]
            for i in range(len(rows))
            for j in range(i)
            if (groups[i] == groups[j]) == same and vectors[i].any() and vectors[j].any()
        ]
        found = mean_cosine(vectors, groups, same=same)
        assert found == pytest.approx(np.mean(pairs), abs=1e-9) if pairs else np.isnan(found)
