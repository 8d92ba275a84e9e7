import copy
import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tmi
from tests.plugins.tmi_probes.toys import TASK, dataset, small_cnn
from tmi.probing.attribution import NEEDS
from tmi_attribution.methods.relevance import ruled
from tmi_attribution.preflight import preflight, problems
from tmi_networks.theorem1 import theorem1

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="captum")
        warnings.filterwarnings("ignore", message=".*(hooks|did not already require)")
        yield


MORE = {
    "relu": nn.ReLU(),
    "again": nn.ReLU(),
    "pool": nn.MaxPool2d(2),
    "average": nn.AvgPool2d(2),
    "inplace": nn.ReLU(inplace=True),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "softmax": nn.Softmax(1),
    "drop": nn.Dropout(),
    "same": nn.Identity(),
    "conv2": nn.Conv2d(3, 3, 3, padding=1),
}


def named(code):
    """The names that a function uses, those of the functions in it included."""
    return set(code.co_names).union(*(named(part) for part in code.co_consts if hasattr(part, "co_names")))


class Ask(nn.Module):
    """A convolution, then the given function, then a linear layer."""

    def __init__(self, between, bias=True):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.flat, self.logits = nn.Conv2d(1, 3, 3), nn.Flatten(), nn.LazyLinear(3, bias=bias)
        self.between = between
        for name in sorted(named(between.__code__) & set(MORE)):
            setattr(self, name, copy.deepcopy(MORE[name]))
        self(IMAGES)
        with torch.no_grad():
            self.conv.weight.normal_()  # so that ReLUs wake and sleep
            self.conv.bias.normal_(std=0.3)
            for part in self.modules():
                if not bias and getattr(part, "bias", None) is not None:
                    part.bias.zero_()
        self.eval().requires_grad_(False)

    def forward(self, x):
        return self.logits(self.flat(self.between(self, self.conv(x))))


class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)


class Guided(Clipped):
    """The rule of guided backpropagation, written out."""

    @staticmethod
    def backward(ctx, g):
        return g.clamp(min=0) * (ctx.saved_tensors[0] > 0)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g


class HandedThrough(Doubled):
    """A ReLU whose gradient says that it does nothing."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g


def masked(x):
    return x * (x > 0)


def gathered(x):
    both = torch.stack([x, torch.zeros_like(x)], -1)
    return both.gather(-1, both.detach().argmax(-1, keepdim=True))[..., 0]


def overwritten(x):
    x = x.clone()
    x[x < 0] = 0
    return x


def in_order(x):
    return x.flatten(1)[:, x.detach()[0].flatten().argsort()].view(x.shape)


def guided(x):
    return Guided.apply(x)


def reasons(need, between, **more):
    return problems([need], Ask(between, **more), IMAGES)


def said(found, reason):
    return any(re.search(reason, text) for text in found)


# DeepLift: attributions must add up to the change of the logit.

SOUND = {
    "relu": lambda m, x: m.relu(x),
    "two relus": lambda m, x: m.again(m.relu(x) - 0.5),
    "average pooling": lambda m, x: F.avg_pool2d(m.relu(x), 2),
    "scaled": lambda m, x: m.relu(x * 2 / 3 + 1),
    "tanh and sigmoid": lambda m, x: m.sigmoid(m.tanh(x).clone()),
    "relu and flatten": lambda m, x: m.again(m.flat(m.relu(x)) - 0.5),
    "a linear custom function": lambda m, x: Doubled.apply(m.relu(x)),
    "sparse": lambda m, x: (torch.eye(108, dtype=x.dtype).to_sparse_csr() @ m.relu(x).flatten(1).T).T,
    "nested": lambda m, x: nn.Sequential(m.relu)(x),
    "residual": lambda m, x: m.conv2(x) + m.relu(x.clone()),
    "residual after": lambda m, x: (lambda z: m.conv2(z) + z)(m.relu(x)),
    "a convolution used twice": lambda m, x: m.conv2(m.relu(m.conv2(x))),
}
REFUSED = {
    "functional": (lambda m, x: F.relu(x), "Relu operation is functional; use an nn.ReLU"),
    "functional beside a module": (lambda m, x: F.relu(m.relu(x) - 0.5), "Relu operation is functional"),
    "called past its hooks": (lambda m, x: m.relu.forward(x), "Relu operation is functional"),
    "functional tanh": (lambda m, x: torch.tanh(x), "Tanh operation is functional; use an nn.Tanh"),
    "a use beside the module": (lambda m, x: m.relu(x) + x, r"input of module 'relu' is used elsewhere.*clone\(\)"),
    "next to each other": (lambda m, x: m.sigmoid(m.tanh(x)), r"'sigmoid' takes the output of 'tanh'.*clone\(\)"),
    "next to each other in a row": (lambda m, x: nn.Sequential(m.tanh, m.same, m.sigmoid)(x), "takes the output of 'tanh'"),
    "reused": (lambda m, x: m.relu(m.relu(x) - 0.5), "'relu' is used 2 times"),
    "in place": (lambda m, x: m.inplace(x), "'inplace' works in place"),
    "changed in place": (lambda m, x: m.relu(x).add_(1), "output of module 'relu' is changed in place"),
    "max pooling after": (lambda m, x: m.pool(m.relu(x)), "max pooling"),
    "max pooling before": (lambda m, x: m.relu(m.pool(x)), "max pooling"),
    "custom": (lambda m, x: Clipped.apply(x), 'Clipped hides a non-linearity.*realisation="literal"'),
    "softmax": (lambda m, x: m.softmax(x), "softmax lets the images of a batch influence each other"),
    "clamp": (lambda m, x: x.clamp(min=0), "Clamp is not linear"),
    "abs": (lambda m, x: (m.relu(x) - 0.3).abs(), "Abs is not linear"),
    "product": (lambda m, x: m.relu(x) * x, "Mul multiplies"),
    "quotient": (lambda m, x: 1 / (m.relu(x) + 1), "Reciprocal is not linear|Div multiplies"),
    "attention": (lambda m, x: m.relu(x) @ x, "Bmm multiplies"),
    "a mask": (lambda m, x: masked(x), "Mul hides a non-linearity.*use modules"),
    "a mask subtracted": (lambda m, x: x - x * (x < 0), "Mul hides"),
    "divided by a mask": (lambda m, x: x / torch.where(x > 0, 1.0, float("inf")), "Div hides"),
    "gathered": (lambda m, x: gathered(x), "Gather hides"),
    "in an order of its own": (lambda m, x: in_order(x), "Index hides"),
    "a detached factor": (lambda m, x: m.relu(x) * x.detach(), "Mul hides"),
    "a detached weight": (lambda m, x: m.relu(x) @ x.detach(), "Bmm hides"),
    "instance normalisation": (lambda m, x: F.instance_norm(m.relu(x)), "NativeBatchNorm hides"),
    "a branch": (lambda m, x: m.relu(x) if x[0].std() > 1.4 else m.relu(2 * x), "other images pass other operations"),
    "rounded": (lambda m, x: x + (x.round() - x).detach(), "does not change as its gradient says"),
    "a gradient handed through": (lambda m, x: HandedThrough.apply(x), "does not change as its gradient says"),
}
RAISES = {"reused", "changed in place"}
HAPPENS_TO_BE_RIGHT = {"in place"}  # in DeepLift; not in layer methods


def deeplift(module, x, b):
    from captum.attr import DeepLift

    return DeepLift(module).attribute(x.clone(), b, target=0)


def gap(module, x, b):
    return (deeplift(module, x, b).sum((1, 2, 3)) - (module(x) - module(b))[:, 0]).abs().max()


@pytest.mark.parametrize("name", SOUND)
def test_what_passes_adds_up(name):
    assert reasons("modules", SOUND[name]) == []
    assert gap(Ask(SOUND[name]).double(), 1 - IMAGES.double(), IMAGES.flip(3).double()) < 1e-9


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name):
    between, reason = REFUSED[name]
    assert said(reasons("modules", between), reason)


@pytest.mark.parametrize("name", sorted(set(REFUSED) - HAPPENS_TO_BE_RIGHT))
def test_what_is_refused_is_wrong_indeed(name):
    """Captum's DeepLift gives a number all the same, and its attributions do not add up; or it raises."""
    module, x, b = Ask(REFUSED[name][0]), 1 - IMAGES, IMAGES.flip(3)
    if name in RAISES:
        with pytest.raises(RuntimeError):
            deeplift(module, x, b)
    else:
        assert gap(module, x, b) > 1e-3


def test_captums_softmax_lets_images_influence_each_other():
    module, b = Ask(REFUSED["softmax"][0]), torch.zeros_like(IMAGES)
    alone = deeplift(module, IMAGES[1:], b[1:])
    assert (deeplift(module, IMAGES, b)[1:] - alone).abs().max() > 1e-5


def test_captums_max_pooling_takes_the_first_images_gradient_for_all():
    """Where an image's pooled values do not differ from the baseline's, image 0's gradient stands in."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False), nn.MaxPool2d((1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[[[1.0, -1.0]]]]))  # equal neighbours cancel
        module[4].weight.copy_(torch.tensor([[1.0, 2.0]]))
    module.requires_grad_(False)
    baseline = torch.tensor([0.9, 0.5, 0.4, 0.2, 0.1, 0.7, 0.3]).reshape(1, 1, 1, 7)
    other = torch.tensor([0.1, 0.5, 0.2, 0.9, 0.3, 0.6, 0.0]).reshape(1, 1, 1, 7)
    shifted = baseline + 0.1  # each pixel differs, no difference of neighbours does
    alone = deeplift(module, shifted, baseline)
    among = deeplift(module, torch.cat([other, shifted]), baseline.repeat(2, 1, 1, 1))[1:]
    assert (among - alone).abs().max() > 0.05
    assert said(problems(["modules"], module, shifted), "max pooling")


# Guided backpropagation: compared with the rule written out.

BORDER = torch.nn.functional.pad(torch.zeros(4, 4), (1, 1, 1, 1), value=1).bool()
GUIDED = {
    "relu": (lambda m, x: m.relu(x), lambda m, x: guided(x)),
    "two relus": (lambda m, x: m.again(m.relu(x) - 0.5), lambda m, x: guided(guided(x) - 0.5)),
    "max pooling": (lambda m, x: m.pool(m.relu(x)), lambda m, x: F.max_pool2d(guided(x), 2)),
    "tanh": (lambda m, x: torch.tanh(m.relu(x)), lambda m, x: torch.tanh(guided(x))),
    "residual": (lambda m, x: m.relu(x.clone()) + x, lambda m, x: guided(x) + x),
    "a linear custom function": (lambda m, x: Doubled.apply(m.relu(x)), lambda m, x: 2 * guided(x)),
    "a fixed mask": (lambda m, x: m.relu(x).masked_fill(BORDER, 0), lambda m, x: guided(x) * ~BORDER),
    "leaky": (lambda m, x: F.leaky_relu(m.relu(x) - 0.5), lambda m, x: F.leaky_relu(guided(x) - 0.5)),
    "swish": (lambda m, x: (lambda z: z * z.sigmoid())(m.relu(x)), lambda m, x: (lambda z: z * z.sigmoid())(guided(x))),
    "instance normalisation": (lambda m, x: F.instance_norm(m.relu(x)), lambda m, x: F.instance_norm(guided(x))),
}
NOT_GUIDED = {
    "functional": (lambda m, x: F.relu(x), lambda m, x: guided(x), "Relu acts as a ReLU"),
    "functional beside a module": (
        lambda m, x: F.relu(m.conv2(m.relu(x))),
        lambda m, x: guided(m.conv2(guided(x))),
        "Relu acts as a ReLU",
    ),
    "called past its hooks": (lambda m, x: m.relu.forward(x), lambda m, x: guided(x), "Relu acts as a ReLU"),
    "functional in place": (lambda m, x: x.relu_(), lambda m, x: guided(x), "Relu acts as a ReLU"),
    "clamp": (lambda m, x: x.clamp(min=0), lambda m, x: guided(x), "Clamp acts as a ReLU"),
    "threshold": (lambda m, x: F.threshold(x, 0, 0), lambda m, x: guided(x), "Threshold acts as a ReLU"),
    "maximum": (lambda m, x: torch.maximum(x, torch.zeros(())), lambda m, x: guided(x), "Maximum acts as a ReLU"),
    "custom": (lambda m, x: Clipped.apply(x), lambda m, x: guided(x), "Clipped hides"),
    "a use beside the module": (lambda m, x: m.relu(x) + x, lambda m, x: guided(x) + x, "'relu' is used elsewhere"),
    "a mask": (lambda m, x: masked(x), lambda m, x: guided(x), "Mul hides a non-linearity.*nn.ReLU for each"),
    "a mask beside a module": (lambda m, x: masked(m.conv2(m.relu(x))), lambda m, x: guided(m.conv2(guided(x))), "Mul hides"),
    "divided by a mask": (lambda m, x: x / torch.where(x > 0, 1.0, float("inf")), lambda m, x: guided(x), "Div hides"),
    "where": (lambda m, x: torch.where(x > 0, x, 0), lambda m, x: guided(x), "Where hides"),
    "masked": (lambda m, x: x.masked_fill(x < 0, 0), lambda m, x: guided(x), "MaskedFill hides"),
    "overwritten": (lambda m, x: overwritten(x), lambda m, x: guided(x), "hides a non-linearity"),
    "gathered": (lambda m, x: gathered(x), lambda m, x: guided(x), "Gather hides"),
    "amax": (lambda m, x: torch.stack([x, 0 * x]).amax(0), lambda m, x: guided(x), "Amax hides"),
    "max": (lambda m, x: torch.stack([x, 0 * x]).max(0).values, lambda m, x: guided(x), "Max hides"),
    "half the sum with its size": (lambda m, x: (x + x.abs()) / 2, lambda m, x: guided(x), "Abs hides"),
    "half with its sign": (lambda m, x: x * (1 + x.sign()) / 2, lambda m, x: guided(x), "Sign acts as a ReLU"),
}


def guided_of(between, rule):
    """Captum's guided backpropagation, and the rule's."""
    from captum.attr import GuidedBackprop

    torch.manual_seed(1)
    images = 0.3 * torch.randn(2, 1, 8, 8)  # so that ReLUs sleep, too
    found = GuidedBackprop(Ask(between)).attribute(images.clone(), target=0)
    x = images.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(Ask(rule)(x)[:, 0].sum(), x)
    return found, expected


@pytest.mark.parametrize("name", GUIDED)
def test_what_passes_is_guided(name):
    between, rule = GUIDED[name]
    assert reasons("relu-modules", between) == []
    found, expected = guided_of(between, rule)
    assert torch.allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("name", NOT_GUIDED)
def test_what_is_refused_is_not_guided(name):
    between, rule, reason = NOT_GUIDED[name]
    assert said(reasons("relu-modules", between), reason)
    found, expected = guided_of(between, rule)
    assert (found - expected).abs().max() > 1e-3


def test_captums_deconvolution_of_two_relus_in_a_row():
    """A second ReLU changes nothing, and neither should what Captum attributes; its hooks interfere."""
    from captum.attr import Deconvolution

    between = {
        "one": lambda m, x: m.relu(x),
        "apart": lambda m, x: m.again(m.relu(x).clone()),
        "in a row": lambda m, x: m.again(m.relu(x)),
        "past an identity": lambda m, x: m.again(m.same(m.relu(x))),
    }
    one, apart, *wrong = (Deconvolution(Ask(f)).attribute(IMAGES.clone(), target=0) for f in between.values())
    assert torch.allclose(one, apart, atol=1e-6)
    assert all((one - other).abs().max() > 1e-3 for other in wrong)
    assert reasons("relu-modules", between["one"]) == reasons("relu-modules", between["apart"]) == []
    for name in ("in a row", "past an identity"):
        assert said(reasons("relu-modules", between[name]), r"'again' takes the output of 'relu'.*clone\(\)")


@pytest.mark.parametrize("name", ["reused", "in place"])
def test_relus_reused_or_in_place_are_refused_everywhere(name):
    """Captum's guided backpropagation and LRP happen to be right there; the other hooked methods are not."""
    for need in ("modules", "relu-modules", "lrp-modules"):
        assert said(reasons(need, REFUSED[name][0]), REFUSED[name][1])


# LRP: without biases relevance is conserved.

CONSERVED = {
    "relu": lambda m, x: m.relu(x),
    "tanh": lambda m, x: m.tanh(x),
    "flattened twice": lambda m, x: m.relu(x).flatten(1).view(-1, 27, 4),
    "max pooling after": lambda m, x: m.pool(m.relu(x)),
    "max pooling before": lambda m, x: m.relu(m.pool(x)),
    "relu after tanh": lambda m, x: m.relu(m.tanh(x)),
    "average pooling": lambda m, x: m.average(m.relu(x)),
    "dropout and identity": lambda m, x: m.same(m.drop(m.relu(x))),
    "turned": lambda m, x: m.relu(x).permute(0, 2, 3, 1).flip(1),
    "padded": lambda m, x: F.pad(m.relu(x), (1, 1, 1, 1)),
    "branches": lambda m, x: (lambda z: torch.cat([m.conv2(z.clone()), z], 1))(m.relu(x)),
    "nested": lambda m, x: nn.Sequential(m.relu, m.conv2)(x),
}
LOST = {
    "scaled": (lambda m, x: 2 * m.relu(x), "Mul is not done by a module"),
    "functional tanh": (lambda m, x: torch.tanh(x), "Tanh is not done by a module"),
    "tanh after relu": (lambda m, x: m.tanh(m.relu(x)), "'tanh' takes the output of 'relu'"),
    "clamp": (lambda m, x: m.relu(x.clamp(max=0.2)), "Clamp is not done by a module"),
    "residual": (lambda m, x: (lambda z: m.conv2(z.clone()) + z)(m.relu(x)), "Add is not done by a module"),
    "branches": (lambda m, x: (lambda z: torch.cat([m.conv2(z), z], 1))(m.relu(x)), "input of module 'conv2' is used elsewhere"),
    "two relus on one value": (lambda m, x: torch.cat([m.relu(x), m.again(x)], 1), "input of module 'relu' is used elsewhere"),
    "a relu and a convolution": (lambda m, x: torch.cat([m.relu(x), m.conv2(x)], 1), "'relu' is used elsewhere"),
}
NO_RULE = {
    "sigmoid": (lambda m, x: m.sigmoid(x), "'sigmoid' is a Sigmoid, for which Captum's LRP has no rule"),
    "softmax": (lambda m, x: m.softmax(x), "'softmax' is a Softmax"),
    "a convolution used twice": (lambda m, x: m.conv2(m.relu(m.conv2(x))), "'conv2' is used 2 times"),
}


def relevance(module):
    from captum.attr import LRP

    module, images = module.double(), IMAGES.double()
    with ruled(module):
        total = LRP(module).attribute(images.clone(), target=0).sum((1, 2, 3))
    return (total - module(images)[:, 0]).abs().max()


@pytest.mark.parametrize("name", CONSERVED)
def test_what_passes_conserves_relevance(name):
    assert reasons("lrp-modules", CONSERVED[name], bias=False) == []
    assert relevance(Ask(CONSERVED[name], bias=False)) < 1e-6


@pytest.mark.parametrize("name", LOST)
def test_what_is_refused_loses_or_makes_up_relevance(name):
    between, reason = LOST[name]
    assert said(reasons("lrp-modules", between, bias=False), reason)
    assert relevance(Ask(between, bias=False)) > 1e-4


@pytest.mark.parametrize("name", NO_RULE)
def test_what_captums_lrp_raises_for_is_refused(name):
    between, reason = NO_RULE[name]
    assert said(reasons("lrp-modules", between), reason)
    with pytest.raises((TypeError, RuntimeError)):
        relevance(Ask(between))


def test_captums_lrp_does_not_see_a_module_without_parts():
    class Pixels(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1))

    bare = Pixels(64, 2, bias=False).requires_grad_(False)
    assert said(problems(["lrp-modules"], bare, IMAGES), "is not done by a module")
    assert relevance(bare) > 1e-3
    assert problems(["lrp-modules"], nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), IMAGES) == []


# What the other needs ask for.


NEIGHBOURLY = {
    "batch normalisation": lambda m, x: F.batch_norm(m.relu(x), None, None, training=True),
    "less the mean of the batch": lambda m, x: m.relu(x) - x.mean(0),
}


def check(module, *layers):
    tiles = [tmi.FeatureTile([[value]], 0.1) for value in (0.2, 0.5, 0.8)]
    task = tmi.TemplateTask([tmi.TileClass(str(i), [tile]) for i, tile in enumerate(tiles)], IMAGES.shape[1:])
    tmi.Network(module, layers, "imported", task=task).check(IMAGES)


@pytest.mark.parametrize("name", NEIGHBOURLY)
def test_images_that_influence_each_other_are_refused_by_the_network(name):
    """Captum attributes another batch without a word, and so otherwise; even DeepLift's promise to add up is broken."""
    from captum.attr import Saliency

    module = Ask(NEIGHBOURLY[name])
    with pytest.raises(tmi.InputError, match="depend on the other images of its batch"):
        check(module, "logits")
    saliency = Saliency(module)
    alone = saliency.attribute(IMAGES[:1], target=0, abs=False)
    among = saliency.attribute(IMAGES, target=0, abs=False)[:1]
    assert (alone - among).abs().max() > 1e-3 or (module(IMAGES)[0] - module(IMAGES[:1])[0]).abs().max() > 1e-2
    assert gap(module, 1 - IMAGES, IMAGES.flip(3)) > 1e-3


def test_normalising_by_running_statistics():
    def normalised(**settings):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, **settings), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3))
        return module.eval().requires_grad_(False)

    check(normalised(), "4")
    for needs in ([], ["gradient"], ["modules"], ["relu-modules"], ["lrp-modules"]):
        assert problems(needs, normalised(), IMAGES) == []
    with pytest.raises(tmi.InputError, match="track_running_stats=True"):
        check(normalised(track_running_stats=False), "4")


def test_what_is_drawn_at_random_is_refused_by_the_network():
    module = Ask(lambda m, x: F.dropout(m.relu(x), training=True))
    assert (module(IMAGES) - module(IMAGES)).abs().max() > 1e-2
    with pytest.raises(tmi.InputError, match="draw nothing at random"):
        check(module, "logits")


def test_layers_with_maps():
    module = Ask(lambda m, x: m.relu(m.conv2(m.relu(x))))
    assert problems(["maps"], module, IMAGES, "conv") == problems(["maps"], module, IMAGES, "conv2") == []
    assert said(problems(["maps"], module, IMAGES, "logits"), r"'logits' gives \(3,\), not maps.*name a convolution")
    assert said(problems(["maps"], module, IMAGES), "name one by the setting layer")


def test_a_layer_is_used_once():
    """Captum hands what its last use gave to every use, which breaks where the shapes differ."""
    from captum.attr import LayerIntegratedGradients

    module = Ask(lambda m, x: m.relu(m.flat(m.conv2(m.relu(x)))))
    with pytest.raises(tmi.InputError, match="layer 'relu' is used 2 times"):
        check(module, "relu", "logits")
    with pytest.raises(RuntimeError):
        LayerIntegratedGradients(module, module.relu).attribute(IMAGES, 0 * IMAGES, target=0)
    check(module, "conv", "logits")


def test_nothing_in_place():
    from captum.attr import LayerIntegratedGradients

    def of(between):
        module = Ask(between)
        return LayerIntegratedGradients(module, module.conv).attribute(IMAGES, 0 * IMAGES, target=0)

    assert reasons("no-inplace", SOUND["relu"]) == []
    for between in (lambda m, x: m.inplace(x), lambda m, x: x.relu_()):
        assert said(reasons("no-inplace", between), "in place")
        try:
            found = of(between)
        except RuntimeError:
            continue
        assert (found - of(SOUND["relu"])).abs().max() > 1e-3


def test_no_gradient_at_all():
    class Deaf(nn.Module):
        def forward(self, x):
            return x.detach().flatten(1)[:, :3]

    for need in set(NEEDS) - {"constructed"}:
        assert "do not depend differentiably" in problems([need], Deaf(), IMAGES)[0]
    assert problems([], Deaf(), IMAGES) == problems(["constructed"], Deaf(), IMAGES) == []
    assert problems(["gradient"], small_cnn(), IMAGES) == []


def test_the_module_is_left_as_it_was():
    module = small_cnn().train()
    before = copy.deepcopy(module.state_dict())
    assert preflight(module, IMAGES) == []
    assert problems(list(NEEDS), module, IMAGES, "conv") == []
    assert module.training
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert all(bool((before[key] == value).all()) for key, value in module.state_dict().items())


def test_inside_no_grad():
    with torch.inference_mode():
        assert problems(list(NEEDS), small_cnn(), IMAGES, "conv") == []


def test_the_fused_theorem_is_refused_and_the_literal_one_passes():
    images = dataset(3).test.images
    for need in ("modules", "relu-modules"):
        (reason,) = problems([need], theorem1(TASK).module, images)
        assert 'realisation="literal"' in reason
        assert problems([need], theorem1(TASK, realisation="literal").module, images) == []
    assert problems(["lrp-modules"], theorem1(TASK, realisation="literal").module, images)
    assert problems(["gradient"], theorem1(TASK).module, images) == []


@pytest.mark.parametrize("pool", ["none", "average", "max"])
def test_the_built_in_cnn(pool):
    """It passes everything, but for DeepLift with max pooling."""
    network = tmi.build("cnn", dataset(10), filters=2, hidden=4, kernel=3, epochs=1, pool=pool)
    images = dataset(3).test.images
    refused = problems(["modules"], network.module, images)
    assert said(refused, "max pooling") if pool == "max" else refused == []
    assert problems([need for need in NEEDS if need != "modules"], network.module, images, "conv") == []


@pytest.mark.parametrize("paste", ["exact", "off the kink"])
def test_the_fused_theorem_2_is_refused_at_the_kink_too(paste):
    """Where a tile is pasted exactly its gradient is 0, as that of an affine function may be."""
    from tmi_networks.theorem2 import theorem2

    images = dataset(3).test.images
    if paste != "exact":
        images = (images + 1e-3).clamp(0, 1)
    (reason,) = problems(["modules"], theorem2(TASK, realisation="fused").module, images)
    assert "hides a non-linearity" in reason
