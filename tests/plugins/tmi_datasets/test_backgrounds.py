"""The laws of backgrounds: their distributions, what they are made of, and that every generator takes them."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tmi
from tests.strategies import tasks
from tmi.errors import InputError
from tmi.plugins.registry import installed
from tmi.tasks.backgrounds import draw_recipes
from tmi_datasets import backgrounds
from tmi_datasets.backgrounds import _near_miss, distractors

NAMES = tmi.names("background")


def render(law, count=200, task=None, seed=0):
    task = task or tmi.generate("squares", samples=1, test_samples=1).task
    return draw_recipes(np.random.default_rng(seed), task, count, installed().reference("background", law)).render()


def large(shape=(2, 32, 48)):
    tile = tmi.FeatureTile(np.ones((shape[0], 2, 2)), 0.5)
    return tmi.TemplateTask([tmi.TileClass("a", [tile])], shape)


@given(st.sampled_from(NAMES), tasks())
def test_any_task(law, task):
    try:
        images = render(law, 3, task)
    except InputError as error:
        assert "cannot be changed by" in str(error)  # noqa: PT017  # a large ε leaves no near miss
        return
    assert images.shape == (3, *task.image_shape)
    assert torch.equal(images, render(law, 3, task))


GENERATORS = {
    "cutouts": {"sizes": [9], "image_size": 16},
    "digits": {},
    "fashion": {"image_size": 34},
    "folder": {},
    "hierarchy": {},
    "spectrum": {"extent": 1.0},
    "squares": {},
    "tetrominoes": {},
}
QUICK = ("digits", "folder", "squares", "tetrominoes")


def test_every_generator_is_checked():
    assert set(GENERATORS) == set(tmi.names("dataset"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with two classes of two pictures in colour, the first row of each transparent."""
    root = tmp_path_factory.mktemp("pictures")
    for i in range(4):
        values = (np.arange(5 * 4 * 4).reshape(5, 4, 4) * (2 * i + 3) + 40 * i) % 251
        values[:, :, 3] = np.where(np.arange(5)[:, None] > np.arange(4) % 2, 255, 0)
        (root / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(root / "ab"[i % 2] / f"{i}.png")
    return root


@pytest.mark.parametrize("law", NAMES)
@pytest.mark.parametrize(
    "generator", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GENERATORS]
)
def test_every_generator_is_exact_on_every_law(generator, law, pictures):
    settings = GENERATORS[generator] | ({"path": pictures} if generator == "folder" else {})
    data = tmi.generate(generator, background=law, samples=6, test_samples=12, **settings)
    assert data.params["background"] == law
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
        for mask, *shown in zip(scenes.masks.numpy(), scenes.tile, scenes.row, scenes.col, strict=True):
            tile, row, col = map(int, shown)
            support = data.task.tiles[tile].support.any(0)
            expected = np.zeros(mask.shape, bool)
            expected[row : row + support.shape[0], col : col + support.shape[1]] = support
            assert np.array_equal(mask, expected)
    own_class = torch.nn.functional.one_hot(data.test.labels, len(data.task.classes)).bool()
    for theorem in ("theorem1", "theorem2"):
        network = tmi.build(theorem, data, realisation="fused")
        assert torch.equal(network.logits(data.test.images) > 0, own_class)


@pytest.mark.parametrize(
    ("law", "mean", "std"),
    [
        ("uniform", 0.5, 12**-0.5),
        ("gaussian", 0.5, 0.239),  # 0.25 before the cut at two standard deviations
        ("gaussian(mean=0.3, std=0.05)", 0.3, 0.05),
        ("constant", 0.5, 12**-0.5),
        ("constant(grey=0.25)", 0.25, 0),
        ("binary", 0.5, 0.5),
        ("correlated(std=0.1)", 0.5, 0.1),
        ("pink(std=0.1)", 0.5, 0.1),
    ],
)
def test_moments(law, mean, std):
    images = render(law, 500, large())
    assert images.mean().item() == pytest.approx(mean, abs=0.03)
    assert images.std().item() == pytest.approx(std, abs=0.012)


def slope(law):
    """Return the exponent of the amplitudes over frequency: the slope of their logarithms."""
    _, m, n = (shape := (1, 64, 64))
    images = render(law, 40, large(shape)).numpy()[:, 0]
    frequency = np.hypot(np.fft.fftfreq(m)[:, None], np.fft.fftfreq(n)[None]).ravel()
    amplitude = np.abs(np.fft.fft2(images - images.mean((1, 2), keepdims=True))).mean(0).ravel()
    chosen = (frequency > 0) & (frequency < 0.5)
    return np.polyfit(np.log(frequency[chosen]), np.log(amplitude[chosen]), 1)[0]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_pink_noise_falls_with_the_frequency(exponent):
    assert slope(f"pink(exponent={exponent}, std=0.1)") == pytest.approx(-exponent, abs=0.1)


def test_correlated_noise_has_the_correlation_of_its_filter():
    images = render("correlated(sigma=2.0, std=0.1)", 300, large()).numpy() - 0.5
    for shift in (1, 2, 4):
        correlation = (images * np.roll(images, shift, 3)).mean() / (images**2).mean()
        assert correlation == pytest.approx(
            np.exp(-(shift**2) / 16), abs=0.06
        )  # of noise through a Gaussian filter: exp(−d²/4σ²)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ("correlated(sigma=1e9)", "'correlated\\(sigma=1e9\\)': sigma: expected float <= 1000.0"),
        ("correlated(sigma=1e300)", "sigma: expected float <= 1000.0"),
        ("correlated(std=1e308)", "std: expected float <= 100.0"),
        ("pink(exponent=2000)", "exponent: expected float <= 10.0"),
        ("gaussian(std=1e400)", "std: expected float <= 100.0"),
    ],
)
def test_settings_without_measure(law, message):
    with pytest.raises(InputError, match=message) as caught:
        tmi.generate("squares", background=law, samples=1, test_samples=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("law", ["correlated(sigma=1000.0, std=0.1)", "pink(exponent=10.0, std=0.1)"])
def test_the_largest_settings(law):
    images = render(law, 3, large((1, 32, 1000)))
    assert images.std().item() == pytest.approx(0.1, abs=0.01)


def test_constant_is_one_grey_an_image():
    images = render("constant").flatten(1)
    assert (images == images[:, :1]).all()
    assert len(images[:, 0].unique()) > 190


class TestDistractors:
    @given(tasks(), st.integers(0, 2**32 - 1), st.floats(0.01, 0.5))
    def test_a_near_miss_is_just_too_far_from_its_tile(self, task, seed, margin):
        for tile in task.tiles:
            room = np.maximum(tile.values, 1 - tile.values)[tile.support].sum()
            if room <= (1 + margin) * tile.epsilon:
                with pytest.raises(InputError, match="cannot be changed by"):
                    _near_miss(np.random.default_rng(seed), tile, margin)
                continue
            near = _near_miss(np.random.default_rng(seed), tile, margin)
            assert tile.distance(near) == pytest.approx((1 + margin) * tile.epsilon)
            assert ((near >= 0) & (near <= 1)).all()

    def test_fragments_are_parts_of_tiles(self):
        task = tmi.generate("digits", samples=1, test_samples=1).task
        rng = np.random.default_rng(0)
        image = distractors(rng, task, fragments=1, size=0.5, near_misses=0)[0]
        noise = np.random.default_rng(0).random(task.image_shape, dtype=np.float32)[0]
        changed = image != noise
        assert 0 < changed.sum() <= 16
        rows, cols = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
        pixels = image[changed]
        matches = []
        for tile in task.tiles:
            values = np.lib.stride_tricks.sliding_window_view(tile.values[0], (np.ptp(rows) + 1, np.ptp(cols) + 1))
            mask = changed[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
            matches.append((values[..., mask].astype(np.float32) == pixels).all(-1).any())
        assert any(matches)

    def test_no_background_contains_a_tile_that_counts(self):
        data = tmi.generate("digits", background="distractors(fragments=6, near_misses=2)", samples=1, test_samples=100)
        assert not data.task.memberships(data.test.without_tiles().images).sum(1).gt(1).any()
        assert torch.equal(data.task.labels(data.test.images), data.test.labels)

    def test_none(self):
        task = tmi.generate("squares", samples=1, test_samples=1).task
        drawn = distractors(np.random.default_rng(3), task, fragments=0, near_misses=0)
        assert np.array_equal(drawn, np.random.default_rng(3).random(task.image_shape, dtype=np.float32))


GOLDEN = {
    "binary": "287ecf7329f79d77",
    "constant": "c8b9a16672c23ebf",
    "correlated": "14f30335693a8b63",
    "distractors": "66e7b2c0dc886c40",
    "gaussian": "5d2c4bc28df894a8",
    "natural": "88e08e08238951b9",
    "pink": "a0f062d2cefccb78",
    "uniform": "5c8c66204f4b06db",
}


@pytest.mark.parametrize("law", NAMES)
def test_pixels_are_the_same_on_every_machine(law):
    images = render(law, 4, tmi.generate("fashion", samples=1, test_samples=1, source="sample").task)
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16] == GOLDEN[law]


def test_photographs_that_changed_are_read_again(tmp_path):
    file = tmp_path / "a.png"
    greys = []
    for value in (0, 128):
        Image.new("L", (20, 20 + value), value).save(file)
        greys.append(render(f"natural(folder={str(tmp_path)!r})", 1).unique().tolist())
    assert greys == [[0], [np.float32(128 / 255)]]


def test_a_folder_of_photographs_is_looked_at_once_for_a_data_set(tmp_path, monkeypatch):
    """Each picture was looked up, and made ready to be cut, for every image: 52 ms an image with 1,000 pictures."""
    Image.new("L", (8, 4), 102).save(tmp_path / "a.png")
    calls = []
    monkeypatch.setattr(
        backgrounds, "_photographs", lambda *given, real=backgrounds._photographs: calls.append(given) or real(*given)
    )
    data = tmi.generate("squares", samples=20, test_samples=10, background=f"natural(folder={str(tmp_path)!r})")
    assert data.train.backgrounds.unique().numel() == data.test.backgrounds.unique().numel() == 1
    assert len(calls) == 1
    assert render(f"natural(folder={str(tmp_path)!r})", 3).unique().numel() == 1
    assert len(calls) == 2
