import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_attribution.measures.imputation import impute

DIRECT = {(0, 1), (1, 0), (0, -1), (-1, 0)}


def plain(image, missing):
    """The equations of every missing pixel, one after the other, solved as a dense system; (C, m, n)."""
    unknown = [tuple(p) for p in np.argwhere(missing)]
    matrix, right = np.zeros((len(unknown),) * 2), np.zeros((len(unknown), len(image)))
    for i, (row, col) in enumerate(unknown):
        for down in (-1, 0, 1):
            for along in (-1, 0, 1):
                place = (row + down, col + along)
                if (down, along) == (0, 0) or not (0 <= place[0] < missing.shape[0] and 0 <= place[1] < missing.shape[1]):
                    continue
                weight = 1 / 6 if (down, along) in DIRECT else 1 / 12
                matrix[i, i] += weight
                if missing[place]:
                    matrix[i, unknown.index(place)] -= weight
                else:
                    right[i] += weight * image[:, place[0], place[1]]
    filled = image.copy()
    filled[:, missing] = np.linalg.solve(matrix, right).T
    return filled


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.floats(0, 1))
def test_against_the_equations(seed, rows, cols, channels, density):
    rng = np.random.default_rng(seed)
    images, missing = rng.random((2, channels, rows, cols)), rng.random((2, rows, cols)) < density
    for some in missing:
        some[rng.integers(rows), rng.integers(cols)] = False  # at least one is known
    given_images = images.copy()
    found = impute(images, missing)
    assert (images == given_images).all()
    for image, some, one in zip(images, missing, found, strict=True):
        assert one == pytest.approx(plain(image, some), abs=1e-9)
        assert (one[:, ~some] == image[:, ~some]).all()
        known = image[:, ~some]
        assert (one >= known.min(1)[:, None, None] - 1e-9).all()
        assert (one <= known.max(1)[:, None, None] + 1e-9).all()


def test_a_plane_is_imputed_exactly_inside():
    image = (np.arange(9)[:, None] * 0.05 + np.arange(7) * 0.03)[None, None]
    missing = np.zeros((1, 9, 7), bool)
    missing[0, 2:6, 1:6] = True
    assert impute(image, missing) == pytest.approx(image, abs=1e-12)


def test_no_images_and_no_gaps():
    assert impute(np.zeros((0, 1, 3, 3)), np.zeros((0, 3, 3), bool)).shape == (0, 1, 3, 3)
    image = np.random.default_rng(0).random((1, 2, 3, 3))
    assert (impute(image, np.zeros((1, 3, 3), bool)) == image).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_is_the_linear_imputation_of_quantus(share):
    """Quantus has the authors' code, which solves the same equations with a general sparse solver."""
    peer = pytest.importorskip("quantus.functions.perturb_func")
    rng = np.random.default_rng(0)
    image, missing = rng.random((3, 12, 9)), rng.random((12, 9)) < share
    theirs = peer.noisy_linear_imputation(image, np.flatnonzero(missing), noise=0.0)
    assert impute(image[None], missing[None])[0] == pytest.approx(theirs, abs=1e-12)
