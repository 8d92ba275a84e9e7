"""The four statements of section 6.1, on a network whose answers can be worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi.runtime.plotting import figure_style
from tmi_paper.figures import learned_weights


@pytest.fixture
def data():
    return tmi.generate("squares", seed=0, samples=10, test_samples=300)


def network(data, weight, bias, logit_weight):
    """One filter of equal weights, and a first logit that is linear in the layer's sum."""
    conv, logits = nn.Conv2d(1, 1, 2), nn.Linear(9, 2)
    with torch.no_grad():
        conv.weight.fill_(weight)
        conv.bias.fill_(bias)
        logits.weight[0] = logit_weight
        logits.weight[1] = -logit_weight
        logits.bias.copy_(torch.tensor([-0.4, 0.4]) * np.sign(logit_weight) * 9 * abs(logit_weight))
    module = nn.Sequential()
    module.add_module("conv", nn.Sequential(conv, nn.ReLU()))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", logits)
    return tmi.Network(module, ["conv", "logits"], "trained", task=data.task)


def test_a_network_of_which_all_four_hold(data):
    # 4·w·mean + b with w = 1, b = −1.75: above 1 from a mean of 0.6875 on, 0 up to one of 0.4375; logit 0 at a layer mean of 0.4.
    result = tmi.probe("squares-heuristics", network(data, 1.0, -1.75, 1.0), data)
    expected = {"high_above_1", "low_is_0", "active_means_first", "quiet_means_second"}
    assert {name: result.metrics[name] for name in expected} == dict.fromkeys(expected, 1.0)
    assert result.metrics["mirrored"] == 0
    assert result.arrays["weights"].shape == (1, 2, 2)


def test_a_filter_that_responds_to_low_values_has_the_mirrored_statements(data):
    # The same network of the inverted image: 4·w·(1 − mean) + b, with the logit's sign turned.
    result = tmi.probe("squares-heuristics", network(data, -1.0, 4 - 1.75, -1.0), data)
    assert result.metrics["mirrored"] == 1
    assert result.metrics["high_above_1"] == result.metrics["low_is_0"] == 1
    assert result.metrics["active_means_first"] == result.metrics["quiet_means_second"] == 1


def test_shares_agree_with_a_plain_count(data):
    net = network(data, 1.0, -2.4, 1.0)
    result = tmi.probe("squares-heuristics", net, data)
    images = data.test.images[:, 0].numpy()
    above = cases = 0
    for image in images:
        for row in range(3):
            for col in range(3):
                mean = image[row : row + 2, col : col + 2].mean()
                if mean >= 0.7:
                    cases += 1
                    above += max(0.0, 4 * mean - 2.4) > 1
    assert 0 < above < cases
    assert result.metrics["high_above_1"] == pytest.approx(above / cases, abs=2 / cases)
    assert result.metrics["cases.high_above_1"] == pytest.approx(cases, abs=2)
    answers = net.activations(data.test.images)["conv"].numpy()
    assert result.metrics["high_above_1.chance"] == pytest.approx((answers > 1).mean())
    assert result.metrics["low_is_0.chance"] == pytest.approx((answers == 0).mean())


def test_statements_about_squares_agree_with_a_plain_count(data):
    net = network(data, 1.0, -0.3, 1.0)
    metrics = tmi.probe("squares-heuristics", net, data).metrics
    first = net.logits(data.test.images)[:, 0]
    labels = data.test.labels
    assert metrics["black_gives_positive"] == float((first[labels == 0] > 0).double().mean())
    assert metrics["white_gives_negative"] == float((first[labels == 1] < 0).double().mean())
    assert metrics["black_gives_positive.chance"] == float((first > 0).double().mean())
    matches = tmi.match(data.test.images, data.task.tiles[1:])
    answers = net.activations(data.test.images)["conv"][matches.image, 0, matches.row, matches.col]
    assert 0 < len(answers) == metrics["cases.white_is_0"]
    assert 0 < metrics["white_is_0"] == float((answers == 0).double().mean()) < 1


def test_what_speaks_of_nothing_is_left_out(data):
    # A dead filter: no layer mean exceeds 0.5.
    result = tmi.probe("squares-heuristics", network(data, 1.0, -10.0, 1.0), data)
    assert "active_means_first" not in result.metrics
    assert result.metrics["high_above_1"] == 0
    assert any("active_means_first" in note for note in result.notes)


def test_several_filters(data):
    net = tmi.build("cnn", data, filters=3, kernel=2, hidden=0, epochs=1, batch_size=10)
    result = tmi.probe("squares-heuristics", net, data)
    assert set(result.metrics) >= {"high_above_1", "low_is_0", "mirrored"}
    assert "quiet_means_second" not in result.metrics
    # Each filter alone, weighed by its cases, makes up the whole.
    alone = result.arrays["filter_low_is_0"].values
    patches = data.test.images[:, 0].unfold(1, 2, 1).unfold(2, 2, 1).mean((3, 4)).numpy()
    mirrored = result.arrays["mirrored"].values
    cases = np.where(mirrored, (1 - patches <= 0.4).sum(), (patches <= 0.4).sum())
    assert np.average(alone, weights=cases) == pytest.approx(result.metrics["low_is_0"])
    assert result.metrics["cases.low_is_0"] == cases.sum()


def test_the_weights_as_the_paper_prints_them(data):
    net = tmi.build("cnn", data, filters=2, kernel=2, hidden=0, epochs=1, batch_size=10)
    result = tmi.probe("squares-heuristics", net, data)
    assert (result.arrays["weights"].values == net.module.conv[0].weight.detach().numpy()[:, 0]).all()
    logits = net.module.logits
    assert (result.arrays["logit_weights"].values.reshape(2, -1) == logits.weight.detach().numpy()).all()
    assert (result.arrays["logit_bias"].values == logits.bias.detach().numpy()).all()


@pytest.mark.parametrize(("filters", "most", "panels"), [(1, 4, 3), (3, 2, 6)])
def test_the_numbers_are_in_the_figure(data, filters, most, panels):
    net = tmi.build("cnn", data, filters=filters, kernel=2, hidden=0, epochs=1, batch_size=10)
    result = tmi.probe("squares-heuristics", net, data)
    with figure_style():
        figure = learned_weights({"seed 0": result}, most)
        texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert len(figure.axes) == panels
    heaviest = np.abs(result.arrays["weights"].values).sum((1, 2)).argmax()
    assert texts[:4] == [f"{value:.2f}" for value in result.arrays["weights"].values[heaviest].ravel()]
    assert len(texts) == panels // 3 * (4 + 9 + 9)


def test_a_network_without_such_filters(data):
    result = tmi.probe("squares-heuristics", tmi.build("theorem1", data), data)
    assert not result.applicable
    assert "layer conv" in result.notes[0]


def test_computed_weights_are_read_as_computed(data):
    plain, computed = network(data, 1.0, -1.75, 1.0), network(data, 1.0, -1.75, 1.0)
    for layer in (computed.module.conv[0], computed.module.logits):
        nn.utils.parametrizations.weight_norm(layer)
    found, expected = (tmi.probe("squares-heuristics", net, data) for net in (computed, plain))
    assert found.metrics == pytest.approx(expected.metrics)
    for name in ("weights", "bias", "logit_weights", "logit_bias"):
        assert found.arrays[name].values == pytest.approx(expected.arrays[name].values, abs=1e-6)


def test_a_convolution_that_computes_something_else_is_not_read(data):
    net = network(data, 1.0, -1.75, 1.0)
    net.module.conv[0].register_forward_hook(lambda _module, _inputs, output: -output)
    result = tmi.probe("squares-heuristics", net, data)
    assert result.notes == ("layer conv: conv.0 computes with other weights than it holds",)


def test_logits_that_are_not_linear_in_the_layer_have_no_weights(data):
    net = network(data, 1.0, -1.75, 1.0)
    net.module.logits.register_forward_hook(lambda _module, _inputs, output: output.sinh())
    result = tmi.probe("squares-heuristics", net, data)
    assert "logit_weights" not in result.arrays
    assert "weights" in result.arrays
    doubled = network(data, 1.0, -1.75, 1.0)
    doubled.module.logits.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    result = tmi.probe("squares-heuristics", doubled, data)
    assert result.arrays["logit_weights"].values[0] == pytest.approx(np.full((1, 3, 3), 2), abs=1e-5)
