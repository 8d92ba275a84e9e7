"""The sound radius of piecewise linear networks: by hand, against Jacobians of each stage, and by trying changes."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.linear.exact_network import ExactNetwork
from tmi_probes.linear.region import LinearRegions

from ..toys import cnn_network, deep, network, small_cnn
from .stages import PIECEWISE, SHAPE, Does, network_of
from .test_pieces import TASK as LARGE


def radii(net: tmi.Network, images: torch.Tensor):
    exact = ExactNetwork(net)
    return LinearRegions(exact, images[:1]).radii(images, torch.from_numpy(exact.logits(images).argmax(1)))


def drawn(count: int, shape=(1, 8, 8), seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, *shape)))


def test_by_hand():
    # Two pixels of 4×4: a = σ(x − 0.25), b = σ(2y − x − 0.5); logits a + b, 0.3, −1.
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.ReLU())
    module.add_module("logits", nn.Linear(2, 3))
    with torch.no_grad():
        for part in (module[1], module.logits):
            part.weight.zero_()
        module[1].weight[0, 0] = 1
        module[1].weight[1, :2] = torch.tensor([-1.0, 2.0])
        module[1].bias.copy_(torch.tensor([-0.25, -0.5]))
        module.logits.weight[0] = 1
        module.logits.bias.copy_(torch.tensor([0, 0.3, -1.0]))
    image = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    image[0, 0, 0, :2] = torch.tensor([0.75, 1.0])
    # a = 0.5, b = 0.75: a needs 0.5, b 0.75 / 2; the margin over the second class, 1.25 − 0.3, has the gradient (0, 2).
    found = radii(network(module, "logits"), image)
    assert found["l1"] == pytest.approx([0.375])
    assert found["linf"] == pytest.approx([0.25])  # b: 0.75 / 3
    image[0, 0, 0, :2] = torch.tensor([0.75, 0.875])  # b = 0.5, as much as a; the margin 0.7 over 2 is 0.35
    assert radii(network(module, "logits"), image)["l1"] == pytest.approx([0.25])
    image[0, 0, 0, 0] = 0.25  # on the border
    assert radii(network(module, "logits"), image)["l1"] == [0]


def by_jacobians(stages: list[nn.Module], image: torch.Tensor, answer: int) -> dict[str, float]:
    """The radius from the Jacobian of the network up to each stage, one autograd call a stage."""
    best = {"l1": np.inf, "linf": np.inf}

    def lower(value, rows):
        size = {"l1": rows.abs().amax(1), "linf": rows.abs().sum(1)}
        for norm in best:
            ratio = torch.where(size[norm] > 0, value.abs() / size[norm], torch.inf)
            best[norm] = min(best[norm], float(ratio.min()))

    jacobian = torch.autograd.functional.jacobian
    for number, stage in enumerate(stages):
        before = nn.Sequential(*stages[:number])
        values = before(image)
        rows = jacobian(lambda x, before=before: before(x).flatten(), image).flatten(1)
        if isinstance(stage, nn.ReLU):
            lower(values.flatten(), rows)
        elif isinstance(stage, nn.MaxPool2d):
            place = torch.arange(values.numel(), dtype=values.dtype).reshape(values.shape)
            windows = nn.functional.unfold(place.transpose(0, 1), 2, stride=2).transpose(1, 2).reshape(-1, 4).long()
            for window in windows:
                chosen = window[values.flatten()[window].argmax()]
                others = window[window != chosen]
                lower(values.flatten()[chosen] - values.flatten()[others], rows[chosen] - rows[others])
    logits = nn.Sequential(*stages)(image)[0]
    rows = jacobian(lambda x: nn.Sequential(*stages)(x)[0], image).flatten(1)
    others = [j for j in range(len(logits)) if j != answer]
    lower(logits[answer] - logits[others], rows[answer] - rows[others])
    return best


def stages_of(kind: str, seed: int) -> list[nn.Module]:
    torch.manual_seed(seed)
    stages = {
        "conv": [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3)],
        "hidden": [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 9), nn.ReLU(), nn.Linear(9, 3)],
        "pool": [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)],
        "pool first": [nn.MaxPool2d(2), nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)],
    }[kind]
    return [stage.double() for stage in stages]


@pytest.mark.parametrize("kind", ["conv", "hidden", "pool", "pool first"])
def test_is_that_of_the_stages_jacobians(kind):
    stages = stages_of(kind, 1)
    images = drawn(3, seed=2)
    module = nn.Sequential(*stages[:-1])
    module.add_module("logits", stages[-1])
    found = radii(network(module, "logits"), images)
    for i, image in enumerate(images.split(1)):
        expected = by_jacobians(stages, image, int(module(image).argmax()))
        assert {norm: radius[i] for norm, radius in found.items()} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", PIECEWISE)
def test_below_it_no_change_alters_a_piece_or_the_answer(name):
    net = network(network_of([name, "average pooling", name], 3), "logits", task=LARGE)
    exact, image = ExactNetwork(net), drawn(1, SHAPE, 4) * 0.8 + 0.1
    found = radii(net, image)
    rng = np.random.default_rng(0)
    before = next(np.concatenate([state.bytes for state in states], 1) for _, states in exact.states(image))
    for norm, (radius,) in found.items():
        changes = rng.choice([-1.0, 1.0], (150, image.numel()))
        if norm == "l1":  # on one pixel, or on two
            changes *= [np.bincount(rng.integers(0, image.numel(), 2), minlength=image.numel()) / 2 for _ in changes]
        changed = image + torch.from_numpy(0.999 * radius * changes).reshape(-1, *SHAPE)
        after = np.concatenate([np.concatenate([state.bytes for state in states], 1) for _, states in exact.states(changed)])
        assert radius > 0
        assert (after == before).all()
        assert (exact.logits(changed).argmax(1) == exact.logits(image).argmax()).all()


def test_on_the_border_a_piece_or_the_answer_changes():
    net, image = deep(), drawn(1, seed=5) * 0.8 + 0.1
    exact = ExactNetwork(net)
    radius = radii(net, image)["l1"][0]
    one = torch.eye(64, dtype=torch.float64).reshape(-1, 1, 8, 8)
    changed = torch.cat([image + 1.001 * radius * one, image - 1.001 * radius * one])
    before, after = (
        np.concatenate([np.concatenate([state.bytes for state in states], 1) for _, states in exact.states(given)])
        for given in (image, changed)
    )
    answer = exact.logits(image).argmax()
    assert (after != before).any() or (exact.logits(changed).argmax(1) != answer).any()


def test_parts_do_not_matter(monkeypatch):
    images = drawn(7)
    whole = radii(cnn_network(), images)
    monkeypatch.setattr("tmi_probes.linear.region._IMAGES", 2)
    for norm, radius in radii(cnn_network(), images).items():
        assert radius == pytest.approx(whole[norm], rel=1e-9)


def test_a_constant_network_has_the_largest_change_there_is():
    module = small_cnn()
    with torch.no_grad():
        module.conv[0].bias.fill_(-100)
    image = torch.full((1, 1, 8, 8), 0.25, dtype=torch.float64)
    found = radii(network(module, "conv", "hidden", "logits"), image)
    assert found["l1"] == pytest.approx([64 * 0.75])
    assert found["linf"] == pytest.approx([0.75])


@pytest.mark.parametrize(("function", "said"), [
    (torch.sigmoid, "layer 'act': Sigmoid is not a continuous piecewise linear function"),
    (lambda x: x * x, "layer 'act': Mul multiplies"),
    (lambda x: x * (x > 0.1), "layer 'act': Mul hides a non-linearity"),
    (lambda x: nn.functional.threshold(x, 0.2, 0.0), "layer 'act': threshold jumps"),
])  # fmt: skip
def test_the_layer_that_is_not_piecewise_linear_is_named(function, said):
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(1, 2, 3))
    module.add_module("act", Does(function))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", nn.Linear(72, 3))
    with pytest.raises(tmi.InputError) as error:
        radii(network(module, "conv", "logits"), drawn(1))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_network_that_is_too_large_is_refused():
    exact = ExactNetwork(cnn_network())
    with pytest.raises(tmi.InputError, match="160 inputs of piecewise linear operations × 64 pixels are more than 1e\\+02"):
        LinearRegions(exact, drawn(1), most=100)


def test_a_tie_has_no_radius():
    found = LinearRegions(ExactNetwork(cnn_network()), drawn(1)).radii(drawn(2), torch.tensor([-1, 0]))
    assert found["l1"][0] == found["linf"][0] == 0
