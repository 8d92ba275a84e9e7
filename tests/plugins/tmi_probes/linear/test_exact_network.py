"""The linear form around an image: where it is known, and where it holds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tmi
from tmi_probes.linear.exact_network import ExactNetwork
from tmi_probes.pipeline.scenes import in_float64

from ..toys import TASK, Sums, cnn_network, dataset, network, small_cnn
from .stages import Does


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
@pytest.mark.parametrize("realisation", ["fused", "literal"])
@pytest.mark.parametrize("colour", [False, True])
def test_forms_of_constructed_networks_where_several_windows_match(name, realisation, colour):
    rng = np.random.default_rng(4)
    shape = (3, 2, 3) if colour else (2, 3)
    classes = [tmi.TileClass(n, [tmi.FeatureTile(rng.random(shape) * (rng.random(shape) < 0.8), 2.5)]) for n in "abc"]
    try:
        task = tmi.TemplateTask(classes, (shape[0] if colour else 1, 6, 7))
    except tmi.InputError:
        task = tmi.TemplateTask(
            [tmi.TileClass(c.name, [t.with_epsilon(0.4) for t in c.tiles]) for c in classes], (3 if colour else 1, 6, 7)
        )
    exact = ExactNetwork(tmi.build(name, task, realisation=realisation))
    images = torch.from_numpy(rng.random((8, *task.image_shape)))
    images[0, :, :2] = 0  # the kink of σ(y)
    for image in images:
        form = exact.form(image[None])
        assert form.error < 1e-12
        assert form.logits == pytest.approx(np.asarray(task.phi(image[None]))[0], abs=1e-12)


def test_the_form_of_a_linear_network_is_the_network():
    net = network(Sums(), "hidden", "logits")
    form = ExactNetwork(net).form(dataset(4).test.images[:1].double())
    assert (form.weight[0] == 1).all()
    assert (form.weight[1] == 0).all()
    assert (form.bias == 0).all()


def test_the_form_holds_in_the_whole_region():
    net, data = cnn_network(), dataset(6)
    exact = ExactNetwork(net)
    image = in_float64(data.test).images[:1]
    form = exact.form(image)
    near = (image * (1 - 1e-9)).numpy()
    linear = form.weight.reshape(3, -1) @ near.ravel() + form.bias
    assert linear == pytest.approx(exact.logits(torch.from_numpy(near))[0], abs=1e-12)
    assert form.logits == pytest.approx(net.logits(image.float()).numpy()[0], abs=1e-5)


def test_it_has_its_form_in_inference_mode_too():
    """The copied weights were inference tensors there, and every probe of linear pieces was not applicable."""
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = ExactNetwork(cnn_network()).form(image)
    with torch.inference_mode():
        found = ExactNetwork(cnn_network()).form(image)
    assert (found.weight == expected.weight).all()


@pytest.mark.parametrize(("function", "said"), [
    (torch.sigmoid, "Sigmoid is not"), (F.gelu, "Gelu is not"), (F.hardswish, "Hardswish is not"),
    (lambda x: x + (x > 0) * 0.5, "the result of gt depends on the image and has no gradient"),
])  # fmt: skip
def test_the_layer_of_a_constructed_network_is_named_too(function, said):
    module = small_cnn().double().requires_grad_(False)
    module.hidden[1], module.computes_phi = Does(function), False
    exact = ExactNetwork(tmi.Network(module, ["conv", "hidden", "logits"], "constructed", task=TASK))
    with pytest.raises(tmi.InputError, match=f"not piecewise linear and continuous: layer 'hidden.1': {said}"):
        exact.check_pieces(torch.rand(1, 1, 8, 8, dtype=torch.float64))


def test_a_layer_after_windows_compared_in_one_operation_is_named():
    class Squashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.logits = tmi.build("theorem1", TASK).module, nn.Sigmoid()

        def forward(self, x):
            return self.logits(self.inner(x))

    data = dataset(2)
    exact = ExactNetwork(tmi.Network(Squashed(), ["inner.hidden", "logits"], "constructed", task=TASK, meanings={
        "inner.hidden": tmi.build("theorem1", TASK).meanings["hidden"]}))  # fmt: skip
    with pytest.raises(tmi.InputError, match=r"W x \+ b misses .*; layer 'logits': Sigmoid is not"):
        exact.check_pieces(data.test.images[:1].double())


def test_weights_of_constructed_networks_may_record_gradients():
    """Each product with such a weight was one of two values that depend on the image."""
    module = small_cnn().double()
    module.computes_phi = False
    exact = ExactNetwork(tmi.Network(module, ["conv", "hidden", "logits"], "constructed", task=TASK))
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    assert [use.where for use in exact.check_pieces(image)] == ["conv.1", "hidden.1"]
    assert all(p.requires_grad for p in module.parameters())
