"""Attribution methods of other libraries: each adapter makes a method of tmi of what the library has.

A class or function of the library is named as ``"module:name"``, and imported when the method is first called, so that a plug-in
file that uses an adapter imports no large library. A function that takes a module, images and targets needs no adapter: a hook
can name it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import tmi
from tmi.errors import InputError, did_you_mean
from tmi.plugins.fingerprint import own_code

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Method: TypeAlias = Callable[..., Any]
Maker: TypeAlias = str | Callable[..., Any]
"""A class or function by its place, ``"module:name"``, or itself; it is called with the settings of the adapter."""

_IMAGES = 64  # perturbed images in one pass of the module


def from_zennit(composite: Maker, *, needs: Sequence[Any] = ("gradient", "lrp-modules"), **settings: Any) -> Method:
    """Make a method of a composite of zennit (Anders et al. 2021): layer-wise relevance propagation by its rules.

    Parameters
    ----------
    composite : str or callable
        As ``"zennit.composites:EpsilonPlus"``.
    needs : sequence of str
        See `tmi.attribution_method`. By default what Captum's LRP needs; a composite with canonizers needs less.
    **settings
        Of the composite.

    Returns
    -------
    callable
        A method: relevances (N, C, m, n) of the target's logit, which begin with its value 1 at the target.

    Raises
    ------
    InputError
        When it is called: if the composite cannot be imported, or the module has batch normalisation and the composite no
        canonizer, which would merge it with the layer before it.
    """

    def method(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        import torch

        gradient = _imported("zennit.attribution:Gradient")
        rules = _call(composite, settings)
        norms = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
        if not getattr(rules, "canonizers", None) and any(isinstance(part, norms) for part in module.modules()):
            raise InputError(
                f"{_name(composite)}: it has no canonizer, and the relevance of a batch normalisation would be its gradient; "
                "give it canonizers=[zennit.canonizers.SequentialMergeBatchNorm()]"
            )
        with gradient(model=module, composite=rules) as attribute:
            logits, relevance = attribute(images, lambda logits: torch.eye(logits.shape[1]).to(logits)[targets])
        del logits
        result: torch.Tensor = relevance
        return result

    return _method(method, composite, "zennit", needs=needs)


def from_cam(cam: Maker, *, needs: Sequence[Any] = ("gradient", "maps"), **settings: Any) -> Method:
    """Make a method of a class of pytorch-grad-cam, or of another one with its protocol: ``cam(model, layers)(images, targets)``.

    Parameters
    ----------
    cam : str or callable
        As ``"pytorch_grad_cam:GradCAMPlusPlus"``. It is called with ``model`` and ``target_layers``, a list of one layer: that of
        the setting ``layer`` of probe ``attribution-bench``, by default the last one of maps. What it returns is called with
        ``input_tensor`` and ``targets``, one function of an image's logits for each image.
    needs : sequence of str
        See `tmi.attribution_method`; a method without gradients needs ``["maps"]``.
    **settings
        Of the class.

    Returns
    -------
    callable
        A method: one map (N, m, n) for all channels.

    Raises
    ------
    InputError
        When it is called: if the class cannot be imported.
    """

    def method(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, layer: str) -> Any:
        class_map = _call(cam, {"model": module, "target_layers": [module.get_submodule(layer)], **settings})
        logits_of_targets = [lambda logits, target=int(target): logits[..., target] for target in targets]
        if not hasattr(class_map, "__exit__"):
            return class_map(input_tensor=images, targets=logits_of_targets)
        with class_map:  # its hooks are removed
            return class_map(input_tensor=images, targets=logits_of_targets)

    return _method(method, cam, "grad-cam", needs=needs)


def from_xaitk(saliency: Maker, **settings: Any) -> Method:
    """Make a method of a black-box generator of xaitk-saliency, such as RISE or a sliding window.

    Parameters
    ----------
    saliency : str or callable
        As ``"xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise:RISEStack"``: a class of its interface
        ``GenerateImageClassifierBlackboxSaliency``. The confidences that it is given are the logits.
    **settings
        Of the class. A ``seed`` that it takes is supplied, another one for each image, unless it is given here.

    Returns
    -------
    callable
        A method without gradients: one map (N, m, n) for all channels.

    Raises
    ------
    InputError
        When it is called: if the class cannot be imported.
    """

    def method(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, seed: int) -> NDArray[np.float64]:
        import numpy as np

        saliency_class = _imported(saliency) if isinstance(saliency, str) else saliency
        seeded = {"seed": seed} if "seed" in inspect.signature(saliency_class).parameters else {}
        generator = _call(saliency_class, seeded | settings)
        classifier = _classifier()(module, images)
        maps = []
        for image, target in zip(images.detach(), targets, strict=True):
            pixels = image.permute(1, 2, 0).cpu().numpy()
            maps.append(generator.generate(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, classifier)[int(target)])
        return np.stack(maps).astype(np.float64)

    return _method(method, saliency, "xaitk-saliency")


def from_shap(explainer: Maker, *, needs: Sequence[Any] = ("gradient",), **settings: Any) -> Method:
    """Make a method of an explainer of shap for torch modules: ``explainer(model, background).shap_values(images)``.

    Parameters
    ----------
    explainer : str or callable
        ``"shap:GradientExplainer"`` or ``"shap:DeepExplainer"``. The background are the references of the bench.
    needs : sequence of str
        See `tmi.attribution_method`; ``["gradient", "modules"]`` for DeepExplainer.
    **settings
        Of ``shap_values``, such as ``nsamples``.

    Returns
    -------
    callable
        A method: attributions (N, C, m, n) of the target's logit.

    Raises
    ------
    InputError
        When it is called: if the explainer cannot be imported.
    """

    def method(
        module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, references: torch.Tensor, seed: int
    ) -> NDArray[np.float64]:
        import numpy as np

        attributions = []
        for image, target in zip(images.detach().split(1), targets, strict=True):  # type: ignore[no-untyped-call]
            # Of all classes but the target's nothing is asked, and each would take as long.
            explanation = _call(explainer, (_one_logit()(module, int(target)), references))
            attributions.append(np.asarray(explanation.shap_values(image, **settings)).reshape(image.shape))
        return np.concatenate(attributions)

    return _method(method, explainer, "shap", needs=needs)


def _method(method: Method, maker: Maker, library: str, needs: Sequence[Any] = ()) -> Method:
    """Declare a method; the library's version and the own code that a text names are part of its key."""
    method.__name__ = _name(maker)
    method.__doc__ = f"{_name(maker)} of {library}."

    def version(**_settings: Any) -> dict[str, str]:
        code = _code_of(maker)
        try:
            return {library: metadata.version(library), **code}
        except metadata.PackageNotFoundError:
            return {library: "absent", **code}

    return tmi.external(version)(tmi.attribution_method(needs=needs)(method))


_digests: dict[str, str] = {}  # of own code, when this process first looked at it or last imported it


def _code_of(maker: Maker) -> dict[str, str]:
    """Return a digest of the own code, not of an installed package, that ``"module:name"`` names; empty where there is none.

    What was edited since this process imported it is imported again when it is next called.
    """
    place = maker.partition(":")[0] if isinstance(maker, str) else ""
    code = own_code(place)
    if code is None:
        return {}
    if _digests.setdefault(place, code.digest) != code.digest:
        for module in code.modules:
            sys.modules.pop(module, None)
        _digests[place] = code.digest
    return {"code": code.digest}


def _name(maker: Maker) -> str:
    return maker.rpartition(":")[2] if isinstance(maker, str) else getattr(maker, "__name__", type(maker).__name__)


def _call(maker: Maker, arguments: Any) -> Any:
    """Call a maker, which may have to be imported, with a dict or a tuple of arguments."""
    function = _imported(maker) if isinstance(maker, str) else maker
    return function(**arguments) if isinstance(arguments, dict) else function(*arguments)


def _imported(place: str) -> Any:
    """Import ``"module:name"``.

    Raises
    ------
    InputError
        If it has not this form, or there is no such module or name.
    """
    name, colon, attribute = place.partition(":")
    if not (name and colon and attribute):
        raise InputError(f'{place!r}: expected "module:name", as in "zennit.composites:EpsilonPlus"')
    try:
        module = importlib.import_module(name)
    except Exception as error:  # torchvision raises a RuntimeError where it does not fit the torch that is installed
        raise InputError(f"{place}: cannot import {name} ({type(error).__name__}: {error})") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise InputError(f"{place}: {name} has no {attribute}{did_you_mean(attribute, dir(module))}") from None


@cache
def _one_logit() -> Any:
    """Return the class of modules that compute one logit of another module."""
    import torch

    class OneLogit(torch.nn.Module):
        def __init__(self, module: torch.nn.Module, target: int) -> None:
            super().__init__()
            self.module, self.target = module, target

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.module(images)
            return logits[:, self.target : self.target + 1]

    return OneLogit


@cache
def _classifier() -> Any:
    """Return the class of xaitk-saliency's classifiers that have a module's logits as confidences."""
    import numpy as np
    import torch

    interface = _imported("smqtk_classifier.interfaces.classify_image:ClassifyImage")

    class Logits(interface):  # type: ignore[misc, valid-type]
        def __init__(self, module: torch.nn.Module, images: torch.Tensor) -> None:
            self.module, self.like = module, images.detach()
            with torch.no_grad():
                self.labels = list(range(module(self.like[:1]).shape[1]))

        def get_labels(self) -> list[int]:
            return self.labels

        def get_config(self) -> dict[str, Any]:
            return {}

        def classify_images(self, img_iter: Iterable[NDArray[Any]]) -> Iterator[dict[int, float]]:
            images = iter(img_iter)
            while batch := list(islice(images, _IMAGES)):
                pixels = torch.from_numpy(np.stack(batch)).to(self.like)
                pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
                with torch.no_grad():
                    logits = self.module(pixels.contiguous()).tolist()
                yield from (dict(enumerate(row)) for row in logits)

    return Logits
