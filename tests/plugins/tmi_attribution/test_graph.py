"""The graph of operations of small modules whose operations are known."""

import torch
from torch import nn

from tmi_attribution.graph import graph_of, hidden_nonlinearities, is_product, operation, other_images, wrong_gradients

IMAGE = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))


class Then(nn.Sequential):
    """A ReLU of the pixels, and a function of that."""

    def __init__(self, function):
        super().__init__()
        self.flatten, self.relu, self.function = nn.Flatten(), nn.ReLU(), function

    def forward(self, images):
        return self.function(self.relu(self.flatten(images)))


def graphs(function):
    return [graph_of(Then(function), image, lambda part: isinstance(part, nn.ReLU)) for image in (IMAGE, *other_images(IMAGE))]


def test_operations_outside_the_modules_at_which_it_is_cut():
    graph = graphs(lambda x: 2 * x)[0]
    assert graph.flows
    assert [name for name, _ in graph.inputs] == ["relu"]
    assert {"Mul", "Clone"} <= {operation(node) for node in graph.nodes}
    assert "Relu" not in {operation(node) for node in graph.nodes}
    assert len(graph.starts) == len(graph.ends) == 2


def test_without_a_gradient_nothing_flows():
    assert not graph_of(Then(lambda x: x.detach()), IMAGE).flows


def test_products_of_what_depends_on_the_image():
    def products(function):
        return [is_product(node) for node in graphs(function)[0].nodes if operation(node) in ("Mul", "Div")]

    assert products(lambda x: 3 * x) == [False]
    assert products(lambda x: x * x) == [True]
    assert products(lambda x: torch.ones(()) / (1 + x)) == [True]
    assert products(lambda x: x / 3) == [False]


def test_a_mask_hides_a_nonlinearity_and_a_constant_factor_does_not():
    first, *others = graphs(lambda x: x * (x > 0.5).float())
    assert "Mul hides a non-linearity" in hidden_nonlinearities(first, others, ())[0]
    assert hidden_nonlinearities(first, others, first.nodes) == []
    first, *others = graphs(lambda x: 3 * x)
    assert hidden_nonlinearities(first, others, ()) == []


def test_a_detached_value_changes_without_a_gradient():
    first, *others = graphs(lambda x: x + x.detach())
    assert "does not change as its gradient says" in wrong_gradients(first, others)[0]
    first, *others = graphs(lambda x: 2 * x)
    assert wrong_gradients(first, others) == []
