"""Recipes of backgrounds: the pixels are those of the generator, whichever image is rendered first."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi.errors import InputError
from tmi.tasks.backgrounds import LawRecipes, UniformRecipes, draw_recipes, uniform

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))


@given(SHAPES, st.integers(0, 9), st.integers(0, 5), st.integers(0, 2**32), st.data())
def test_uniform_pixels_are_those_that_numpy_draws(shape, count, before, seed, data):
    rng = np.random.default_rng(seed)
    rng.random(before, dtype=np.float32)  # an odd number leaves half of a raw output
    if data.draw(st.booleans()):
        rng.random()  # a number of 64 bits leaves that half where it is
    reference = copy.deepcopy(rng)
    recipes = UniformRecipes.drawn(rng, shape, count)
    pixels = reference.random((count, *shape), dtype=np.float32)
    assert recipes.render().numpy().tobytes() == pixels.tobytes()
    assert recipes.numbers.nbytes == 48 * count
    for draw in (lambda r: r.random(3, dtype=np.float32), lambda r: r.integers(0, 7, 3), lambda r: r.random(3)):
        assert draw(rng).tolist() == draw(reference).tolist()  # as if the pixels had been drawn
    index = np.array(data.draw(st.lists(st.integers(0, max(0, count - 1)), max_size=4 if count else 0)), int)
    assert recipes.chosen(index).render().numpy().tobytes() == pixels[index].tobytes()


def test_pixels_are_the_same_on_every_machine():
    (image,) = UniformRecipes.drawn(np.random.default_rng(0), (1, 2, 3), 1).render() * 2**24
    assert image.tolist() == [[[14271106, 10686443, 8575447], [4526269, 5164520, 687421]]]


def test_long_runs_are_rendered_in_parts(monkeypatch):
    recipes = UniformRecipes.drawn(np.random.default_rng(1), (1, 3, 3), 40)
    whole = recipes.render()
    monkeypatch.setattr("tmi.tasks.backgrounds._AT_ONCE", 30)
    assert torch.equal(recipes.render(), whole)


def greys(rng, task):
    return np.full(task.image_shape, rng.random())


class TestLaws:
    def test_each_image_has_a_generator_of_its_own(self, squares):
        recipes = draw_recipes(np.random.default_rng(0), squares, 5, greys)
        images = recipes.render()
        assert torch.equal(recipes.chosen(np.array([3, 0])).render(), images[[3, 0]])
        for number, image in zip(recipes.numbers[:, 0].tolist(), images, strict=True):
            rng = np.random.Generator(np.random.Philox(key=number))  # the definition
            assert image.unique().tolist() == [np.float32(rng.random())]

    def test_a_generator_keeps_nothing_from_the_image_before(self, squares):
        def halves(rng, task):
            return rng.random((*task.image_shape,), dtype=np.float32) + 0 * rng.random(dtype=np.float32)

        recipes = draw_recipes(np.random.default_rng(0), squares, 4, halves)
        alone = [recipes.chosen(slice(i, i + 1)).render() for i in range(4)]
        assert torch.equal(torch.cat(alone), recipes.render())

    def test_uniform_by_another_generator(self, squares):
        recipes = draw_recipes(np.random.Generator(np.random.MT19937(0)), squares, 3)
        assert isinstance(recipes, LawRecipes)
        assert isinstance(draw_recipes(np.random.default_rng(0), squares, 3, uniform), UniformRecipes)
        assert 0 <= recipes.render().min() < recipes.render().max() < 1

    @pytest.mark.parametrize(
        ("law", "message"),
        [
            (lambda rng, task: np.full(task.image_shape, 1.5), "NaN or outside"),
            (lambda rng, task: np.full(task.image_shape, np.nan), "NaN or outside"),
            (lambda rng, task: np.zeros((4, 4)), r"expected numbers of shape \(1, 4, 4\), got float64 \(4, 4\)"),
            (lambda rng, task: np.full(task.image_shape, "a"), "expected numbers of shape"),
            (lambda rng, task: None, "expected numbers of shape"),
            (lambda rng, task: [[1, 2], [3]], r"expected numbers of shape \(1, 4, 4\), got a list"),
        ],
    )
    def test_bad_values(self, squares, law, message):
        with pytest.raises(InputError, match=f"background .*{message}"):
            draw_recipes(np.random.default_rng(0), squares, 2, law).render()

    @pytest.mark.parametrize(
        "law", [3, 2.5, True, [1], {}, b"pink", object(), np.zeros((1, 4, 4)), int, lambda: 0, lambda rng: 0]
    )
    def test_what_is_no_law(self, squares, law):
        with pytest.raises(InputError, match=r"background: expected a function of a generator and the task, got \w+$") as caught:
            tmi.Scenes.draw(squares, 2, rng=np.random.default_rng(0), background=law)
        assert "\n" not in str(caught.value)

    def test_an_error_of_a_law_is_the_callers(self, squares):
        with pytest.raises(ZeroDivisionError):
            tmi.Scenes.draw(squares, 2, rng=np.random.default_rng(0), background=lambda rng, task: 1 / 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rng": 0}, "rng: expected a numpy.random.Generator, such as numpy.random.default_rng.*, got int"),
        ({"rng": None}, "rng: expected a numpy.random.Generator, .*, got NoneType"),
        ({"task": 3}, "task: expected a TemplateTask, got int"),
        ({"task": "fashion"}, "task: expected a TemplateTask, got str"),
    ],
)
def test_draw_refuses_other_types(squares, given, message):
    arguments = {"task": squares, "samples": 2, "rng": np.random.default_rng(0)} | given
    with pytest.raises(InputError, match=message):
        tmi.Scenes.draw(**arguments)


def test_a_million_scenes_take_no_pixels(squares):
    numbers = np.zeros((1_000_000, 6), np.uint64)
    scenes = tmi.Scenes(squares, UniformRecipes(numbers, (1, 4, 4)), np.zeros(1_000_000, int), 0, 0)
    assert len(scenes.moved(1, 1)[10:].repeated(1)) == 999_990
    assert "images" not in vars(scenes)
