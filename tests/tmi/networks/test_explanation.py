from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.strategies import images_of, tasks
from tmi.networks.explanation import _outline


@pytest.fixture
def image():
    """Two black squares, one below the other, and a white one."""
    image = torch.full((1, 1, 4, 4), 0.5)
    image[..., :3, :2], image[..., 2:, 2:] = 1, 0
    return image


def test_says_which_neurons_fired(squares, image):
    network = tmi.build("theorem1", squares)
    found = network.explain(image)
    hidden = network.neurons("hidden").loc[found.neurons["neuron"]].reset_index(drop=True)
    for column in hidden:
        assert found.neurons[column].tolist() == hidden[column].tolist()
    assert found.neurons["name"].tolist() == ["black/0", "black/0", "white/0"]
    assert found.neurons["activation"].tolist() == [0.5, 0.5, 0.5]
    assert found.logits == {"black": 1.0, "white": 0.5}
    assert found.label is None
    assert str(found).splitlines()[0] == "several classes: black 1, white 0.5"
    assert "white/0" in str(found)
    assert found.image.shape == (1, 4, 4)


@settings(max_examples=20)
@given(st.data(), tasks())
def test_is_what_the_network_does(data, task):
    images = data.draw(images_of(task, min_images=1, max_images=1))
    network = tmi.build("theorem1", task)
    found = network.explain(images[0])
    hidden = network.activations(images)["hidden"][0]
    assert sorted(found.neurons["neuron"]) == hidden.nonzero().flatten().tolist()
    assert found.neurons["activation"].tolist() == hidden[found.neurons["neuron"].tolist()].tolist()
    assert found.neurons["activation"].is_monotonic_decreasing
    assert list(found.logits.values()) == network.logits(images)[0].tolist()
    label = int(task.labels(images))
    assert found.label == (task.class_names[label] if label >= 0 else None)


def test_no_neuron(squares):
    found = tmi.build("theorem1", squares).explain(torch.full((1, 4, 4), 0.5))
    assert found.neurons.empty
    assert str(found) == "no class: every logit is 0\nno neuron fired"
    assert found.figure().axes[0].get_xlabel() == "no neuron fired"
    assert "no neuron fired" in found._repr_html_()


def test_one_class_alone():
    task = tmi.TemplateTask([tmi.TileClass("one", [tmi.FeatureTile([[1.0]], 0.5)])], (1, 2, 2))
    assert tmi.build("theorem1", task).explain(torch.ones(1, 2, 2)).headline == "one: logit 2"


def test_theorem2_says_the_same(squares, image):
    one, two = (tmi.build(name, squares).explain(image) for name in ("theorem1", "theorem2"))
    assert str(one) == str(two)


@pytest.mark.parametrize("realisation", ["fused", "literal"])
def test_layers(squares, image, realisation):
    network = tmi.build("theorem1", squares, realisation=realisation)
    assert set(network.explain(image).neurons["layer"]) == {"hidden"}
    both = network.explain(image, ["logits", "hidden"])
    assert both.neurons["layer"].tolist() == ["logits"] * 2 + ["hidden"] * 3
    assert len(both._placed()) == 3
    if realisation == "literal":
        conv = network.explain(image, "conv")
        values = network.activations(image)["conv"].flatten()
        assert sorted(conv.neurons["neuron"]) == (values > 0).nonzero().flatten().tolist()
        assert "and" in str(conv).splitlines()[-1]
        conv.figure()


def test_meanings_made_when_asked_for(squares, image):
    known = tmi.build("theorem1", squares)
    network = tmi.Network(
        known.module, known.layers, "constructed", task=squares, meanings={"hidden": lambda: known.meanings["hidden"]}
    )
    assert network.explain(image).neurons.equals(known.explain(image).neurons)


def lines(figure):
    return {c.get_label().split()[1]: c for c in figure.axes[0].collections}


@pytest.mark.parametrize("ink", [True, False])
def test_one_is_drawn_black_where_it_is_ink(squares, ink):
    task = tmi.TemplateTask(squares.classes, squares.image_shape, ink=ink)
    image = torch.full((1, 4, 4), 0.5)
    image[0, 0, 0], image[0, 3, 3] = 1, 0
    (drawn,) = tmi.build("theorem1", task).explain(image).figure().axes[0].images
    colours = drawn.to_rgba(drawn.get_array())[..., :3]
    assert (colours[0, 0] == 1 - ink).all()
    assert (colours[3, 3] == ink).all()


def test_draws_the_support_at_its_place(squares, image):
    figure = tmi.build("theorem1", squares).explain(image).figure()
    drawn = figure.axes[0].collections
    assert [c.get_label() for c in drawn] == [
        "1  black/0 at (0, 0): 0.5", "2  black/0 at (1, 0): 0.5", "3  white/0 at (2, 2): 0.5",
    ]  # fmt: skip
    ends = np.concatenate(drawn[2].get_segments())
    assert ends.min(0).tolist() == [1.5, 1.5]
    assert ends.max(0).tolist() == [3.5, 3.5]
    assert len({(tuple(c.get_color()[0]), str(c.get_linestyle())) for c in drawn}) == 3
    assert len({str(c.get_linestyle()) for c in drawn}) == 3  # told apart without colour
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3"]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**25 - 1))
def test_outline_is_the_edge_of_the_mask(rows, cols, bits):
    mask = np.array([bits >> i & 1 for i in range(rows * cols)], bool).reshape(rows, cols)
    unit = set()
    for (x0, y0), (x1, y1) in _outline(mask, 2, 3):
        assert (x0 == x1) != (y0 == y1)
        steps = round(max(x1 - x0, y1 - y0))
        for i in range(steps):
            edge = ((x0 + i * (x0 != x1), y0 + i * (y0 != y1)), x0 != x1)
            assert edge not in unit
            unit.add(edge)
    expected = set()
    inside = {(r, c) for r, c in np.argwhere(mask).tolist()}
    for r, c in inside:
        if (r - 1, c) not in inside:
            expected.add(((c + 2.5, r + 1.5), True))
        if (r + 1, c) not in inside:
            expected.add(((c + 2.5, r + 2.5), True))
        if (r, c - 1) not in inside:
            expected.add(((c + 2.5, r + 1.5), False))
        if (r, c + 1) not in inside:
            expected.add(((c + 3.5, r + 1.5), False))
    assert unit == expected


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_figure_of_any_image(channels):
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((channels, 2, 3)), 1.0) for _ in range(30)]
    task = tmi.TemplateTask([tmi.TileClass("many", tiles)], (channels, 5, 6))
    image = torch.from_numpy(rng.random((channels, 5, 6)))
    image[:, :2, :3] = torch.from_numpy(tiles[0].values.copy())
    found = tmi.build("theorem1", task).explain(image)
    assert len(found.neurons) > 8 or channels > 1
    figure = found.figure()
    assert 1 <= len(figure.axes[0].collections) <= 8
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_many_classes_are_drawn_without_bars():
    classes = [tmi.TileClass(f"c{i}", [tmi.FeatureTile([[(i + 1) / 25, 1.0]], 0.01)]) for i in range(25)]
    task = tmi.TemplateTask(classes, (1, 1, 2))
    found = tmi.build("theorem1", task).explain(torch.tensor([[[11 / 25, 1.0]]], dtype=torch.float64))
    assert found.headline.startswith("c10: logit 0.01;")
    assert len(found.figure().axes) == 1


def test_notebook(squares, image):
    shown = tmi.build("theorem1", squares).explain(image)._repr_html_()
    assert "data:image/png;base64," in shown
    assert "white/0" in shown
    task = tmi.TemplateTask([tmi.TileClass("<b>", [tmi.FeatureTile([[1.0]], 0.5)])], (1, 1, 1))
    assert "<b>" not in tmi.build("theorem1", task).explain(torch.ones(1, 1, 1))._repr_html_()


def test_refuses(squares):
    network = tmi.build("theorem1", squares)
    with pytest.raises(tmi.InputError, match="image: expected one image, got 2"):
        network.explain(torch.zeros(2, 1, 4, 4))
    with pytest.raises(tmi.InputError, match="image: expected"):
        network.explain(torch.zeros(1, 5, 5))
    with pytest.raises(tmi.InputError, match="image: expected a tensor"):
        network.explain("picture.png")
    with pytest.raises(tmi.UnknownNameError, match='did you mean "hidden"'):
        network.explain(torch.zeros(1, 4, 4), ["hiden"])
    with pytest.raises(tmi.InputError, match="no layer named"):
        network.explain(torch.zeros(1, 4, 4), [])
    trained = tmi.Network(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), ["1"], "trained", task=squares)
    with pytest.raises(tmi.InputError, match="was trained, and what its neurons stand for is not known"):
        trained.explain(torch.zeros(1, 4, 4))
    known = tmi.Network(trained.module, ["1"], "imported", task=squares, meanings={"1": {"class": ["a", "b"]}})
    with pytest.raises(tmi.InputError, match="stand for a tile at a place; name the layers"):
        known.explain(torch.zeros(1, 4, 4))
