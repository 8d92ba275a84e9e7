"""Adapters give what the libraries give: compared with Captum and with formulas, or with a stand-in of the same protocol."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tests.plugins.tmi_probes.toys import dataset
from tmi_attribution.adapters import from_cam, from_shap, from_xaitk, from_zennit
from tmi_attribution.methods import cam, deeplift, relevance

RISE = "xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise:RISEStack"
DATA = dataset(12)
IMAGES, TARGETS = DATA.test.images[:3], DATA.test.labels[:3]


def needs(library):
    """Skip where a library cannot be imported: torchvision raises a RuntimeError where it does not fit torch."""
    try:
        importlib.import_module(library)
    except Exception as error:
        pytest.skip(f"{library} cannot be imported ({type(error).__name__}: {error})")


def images():
    return IMAGES.clone().requires_grad_(True)


def module(*norm):
    torch.manual_seed(0)
    channels, rows, cols = DATA.task.image_shape
    parts = (
        nn.Conv2d(channels, 4, 3, padding=1),
        *norm,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * rows * cols, len(DATA.task.classes)),
    )
    return nn.Sequential(*parts).eval().requires_grad_(False)


def scaled(maps):
    maps = maps - maps.min(axis=(1, 2), keepdims=True)
    return maps / maps.max(axis=(1, 2), keepdims=True)


# zennit


class Double:
    """Stands in for a composite: its rule doubles the gradient at every ReLU."""

    def __init__(self, canonizers=()):
        self.canonizers, self.handles = canonizers, []

    def register(self, model):
        relus = (part for part in model.modules() if isinstance(part, nn.ReLU))
        self.handles += [part.register_full_backward_hook(lambda _m, gradient, _o: (2 * gradient[0],)) for part in relus]

    def remove(self):
        while self.handles:
            self.handles.pop().remove()


class Gradient:
    """Stands in for zennit.attribution.Gradient: the same arguments, the same answer."""

    def __init__(self, model, composite):
        self.model, self.composite = model, composite

    def __enter__(self):
        self.composite.register(self.model)
        return self

    def __exit__(self, *_error):
        self.composite.remove()

    def __call__(self, x, attr_output):
        logits = self.model(x)
        return logits, *torch.autograd.grad((logits,), (x,), grad_outputs=(attr_output(logits),))


@pytest.fixture
def stand_in(monkeypatch):
    package, part = ModuleType("zennit"), ModuleType("zennit.attribution")
    part.Gradient, part.Double = Gradient, Double
    monkeypatch.setitem(sys.modules, "zennit", package)
    monkeypatch.setitem(sys.modules, "zennit.attribution", part)


@pytest.mark.usefixtures("stand_in")
def test_a_composite_begins_with_1_at_the_target_and_is_removed():
    net, x = module(), images()
    (gradient,) = torch.autograd.grad(net(x)[range(3), TARGETS].sum(), x)
    found = from_zennit("zennit.attribution:Double")(net, images(), TARGETS)
    torch.testing.assert_close(found, 2 * gradient)
    assert not any(part._backward_hooks for part in net.modules())


@pytest.mark.usefixtures("stand_in")
def test_batch_normalisation_needs_a_canonizer():
    net = module(nn.BatchNorm2d(4))
    with pytest.raises(tmi.InputError, match=r"^Double: it has no canonizer, and the relevance of a batch normalisation .*\)\]$"):
        from_zennit(Double)(net, images(), TARGETS)
    assert from_zennit(Double, canonizers=["a canonizer"])(net, images(), TARGETS).shape == IMAGES.shape


def test_zennit_itself_gives_the_relevance_of_captum():
    needs("zennit")
    net = nn.Sequential(nn.Flatten(), nn.Linear(IMAGES[0].numel(), 5), nn.ReLU(), nn.Linear(5, 3)).eval().requires_grad_(False)
    found = from_zennit("zennit.composites:EpsilonPlus")(net, images(), TARGETS)
    logits = net(IMAGES)[range(3), TARGETS]
    expected = relevance.lrp(net, images(), TARGETS)
    torch.testing.assert_close(found * logits[:, None, None, None], expected.detach(), atol=1e-5, rtol=1e-3)


# pytorch-grad-cam


class PlainCam:
    """Stands in for a class of pytorch-grad-cam: Grad-CAM, written out, and scaled to [0, 1] as there."""

    def __init__(self, model, target_layers, power=1):
        self.model, (self.layer,), self.power = model, target_layers, power

    def __enter__(self):
        self.handle = self.layer.register_forward_hook(lambda _m, _x, output: setattr(self, "maps", output))
        return self

    def __exit__(self, *_error):
        self.handle.remove()

    def __call__(self, input_tensor, targets):
        logits = self.model(input_tensor)
        total = sum(target(row) for target, row in zip(targets, logits, strict=True))
        (gradient,) = torch.autograd.grad(total, self.maps)
        maps = (gradient.mean((2, 3), keepdim=True) * self.maps).sum(1).relu()
        return scaled(maps.detach().numpy()) ** self.power


def test_a_class_of_the_protocol_gives_grad_cam():
    net = module()
    net[-1].weight.abs_()  # so that no map is 0 everywhere
    expected = scaled(cam.grad_cam(net, images(), TARGETS, layer="1").detach().numpy()[:, 0])
    assert from_cam(PlainCam)(net, images(), TARGETS, layer="1") == pytest.approx(expected, abs=1e-6)
    assert from_cam(PlainCam, power=2)(net, images(), TARGETS, layer="1") == pytest.approx(expected**2, abs=1e-6)
    assert not any(part._forward_hooks for part in net.modules())


def test_pytorch_grad_cam_itself_gives_that_of_captum():
    needs("pytorch_grad_cam")
    net = module()
    net[-1].weight.abs_()  # so that no map is 0 everywhere
    expected = scaled(cam.grad_cam(net, images(), TARGETS, layer="1").detach().numpy()[:, 0])
    found = from_cam("pytorch_grad_cam:GradCAM")(net, images(), TARGETS, layer="1")
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_layer_without_maps_is_refused():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=20)
    network = tmi.build("mlp", data, seed=0, widths=[4], epochs=1)
    result = tmi.probe("attribution-bench", network, data, method=from_cam(PlainCam), images=2, measures=["mass"])
    assert result.metrics == {"refused": 1}
    assert "none of the network's layers gives maps" in result.notes[0]


# xaitk-saliency


@pytest.mark.parametrize("channels", [1, 3])
def test_rise_is_the_mean_of_the_masks_weighted_by_the_logits(channels):
    from xaitk_saliency.impls.gen_classifier_conf_sal.rise_scoring import RISEScoring
    from xaitk_saliency.impls.perturb_image.rise import RISEGrid

    torch.manual_seed(1)
    pictures, targets = torch.rand(2, channels, 6, 5), torch.tensor([2, 0])
    net = nn.Sequential(nn.Flatten(), nn.Linear(channels * 30, 3)).eval().requires_grad_(False)
    found = from_xaitk(RISE, n=70, s=3, p1=0.5)(net, pictures, targets, seed=4)
    masks = np.stack(list(RISEGrid(70, s=3, p1=0.5, seed=4)(pictures[0, 0].numpy())))
    for picture, target, given in zip(pictures, targets, found, strict=True):
        covered = net(picture * torch.from_numpy(masks)[:, None].float())[:, [target]].numpy()
        expected = RISEScoring(p1=0.5)(net(picture[None])[0, [target]].numpy(), covered, masks)[0]
        assert given == pytest.approx(expected, abs=1e-5)


def test_a_seed_is_supplied_unless_it_is_given():
    net = module()
    one, two = (from_xaitk(RISE, n=20, s=2, p1=0.5)(net, IMAGES, TARGETS, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one, two)
    fixed = from_xaitk(RISE, n=20, s=2, p1=0.5, seed=0)(net, IMAGES, TARGETS, seed=1)
    assert np.array_equal(fixed, one)
    window = from_xaitk(RISE.replace("rise:RISE", "slidingwindow:SlidingWindow"), window_size=(2, 2), stride=(1, 1))
    assert window(net, IMAGES, TARGETS, seed=0).shape == (3, *DATA.task.image_shape[1:])


# shap


class Difference:
    """Stands in for an explainer of shap: the gradient times the difference from the mean of the background."""

    def __init__(self, model, background):
        self.model, self.background = model, background

    def shap_values(self, pictures, times=1):
        x = pictures.clone().requires_grad_(True)
        logits = self.model(x)
        assert logits.shape == (1, 1)
        (gradient,) = torch.autograd.grad(logits.sum(), x)
        return (times * gradient * (pictures - self.background.mean(0))).numpy()[..., None]


def test_an_explainer_is_asked_about_the_targets_logit():
    net, x, references = module(), images(), DATA.train.images[:4]
    (gradient,) = torch.autograd.grad(net(x)[range(3), TARGETS].sum(), x)
    expected = (gradient * (IMAGES - references.mean(0))).numpy()
    for times in (1, 3):
        found = from_shap(Difference, **({"times": times} if times > 1 else {}))(
            net, images(), TARGETS, references=references, seed=0
        )
        assert found == pytest.approx(times * expected, abs=1e-6)


@pytest.mark.slow  # importing it takes seconds
def test_shap_itself_gives_what_captum_gives():
    needs("shap")
    net, references = module(), DATA.train.images[:4]
    found = from_shap("shap:DeepExplainer")(net, images(), TARGETS, references=references, seed=0)
    expected = deeplift.deeplift_shap(net, images(), TARGETS, references=references)
    assert found == pytest.approx(expected.detach().numpy(), abs=1e-6)
    sums = from_shap("shap:GradientExplainer", nsamples=300)(net, images(), TARGETS, references=references, seed=0).sum((1, 2, 3))
    differences = net(IMAGES)[range(3), TARGETS] - net(references)[:, TARGETS].mean(0)
    assert sums == pytest.approx(differences.numpy(), abs=0.1)


# All


def test_versions_are_part_of_the_key_and_what_is_made_here_is_not_stored():
    rise = from_xaitk(RISE, n=20, s=2, p1=0.5)
    assert rise.tmi_external(n=3) == {"xaitk-saliency": metadata.version("xaitk-saliency")}
    assert set(from_zennit("zennit.composites:EpsilonPlus").tmi_external()) == {"zennit"}
    assert "<locals>" in rise.__qualname__
    assert (rise.__name__, rise.__doc__) == ("RISEStack", "RISEStack of xaitk-saliency.")


def test_own_code_that_a_text_names_is_part_of_the_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "zzcam.py"
    keys = []
    for text in ("x = 1", "x = 2"):
        file.write_text(text)
        keys.append(from_cam("zzcam:Activity").tmi_external())
    assert keys[0] != keys[1]
    assert set(keys[0]) == {"grad-cam", "code"}


def test_own_code_is_covered_with_its_helpers_and_the_edited_code_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "zzlayers.py").write_text("from zzhelper import SCALE\ndef cam(model, target_layers):\n    return CAM(SCALE)\n")
    with (tmp_path / "zzlayers.py").open("a") as file:
        file.write("class CAM:\n    def __init__(self, s):\n        self.s = s\n")
        file.write("    def __call__(self, input_tensor, targets):\n        return input_tensor[:, 0] * self.s\n")
    method, keys = from_cam("zzlayers:cam"), []
    for scale in (2, 33):
        (tmp_path / "zzhelper.py").write_text(f"SCALE = {scale}")
        keys.append(method.tmi_external())
        assert torch.equal(method(module(), IMAGES, TARGETS, layer="0"), IMAGES[:, 0] * scale)
    assert keys[0] != keys[1]
    for name in ("zzlayers", "zzhelper"):
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("shap", "'shap': expected \"module:name\", as in"),
        ("no_such_library:Explainer", r"no_such_library:Explainer: cannot import no_such_library \(ModuleNotFoundError: .*\)"),
        ("captum.attr:DeepLifft", 'captum.attr:DeepLifft: captum.attr has no DeepLifft; did you mean "DeepLift"'),
    ],
)
def test_errors_say_what_is_wrong(place, message):
    with pytest.raises(tmi.InputError, match=message) as error:
        from_shap(place)(module(), images(), TARGETS, references=DATA.train.images[:4], seed=0)
    assert "\n" not in str(error.value)
