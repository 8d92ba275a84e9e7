"""What has a score, on how many images."""

import pytest

from tmi_attribution.measures.declared import LEAST_DEFINED
from tmi_attribution.summary import FEWEST, enough


@pytest.mark.parametrize(
    ("defined", "asked", "has_score"),
    [
        (0, 60, False),
        (29, 60, False),
        (30, 60, True),
        (9, 10, False),
        (10, 10, True),
        (9, 18, False),
        (10, 18, True),
        (3, 4, False),
    ],
)
def test_a_score_needs_half_of_the_images_and_ten_of_them(defined, asked, has_score):
    assert (FEWEST, LEAST_DEFINED) == (10, 0.5)
    assert enough(defined, asked) == has_score


def test_few_images_must_all_be_defined():
    assert [enough(n, n) for n in range(5)] == [False, True, True, True, True]
