"""HTML of networks, of known directions and of explanations."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .html import beside, card, clip, facts, line, table
from .pictures import picture, row_of, weight_pixels
from .tasks import size_of

_LAYERS = 40
_FILTERS = 24


def network(shown: Any) -> str:
    """HTML of a `Network`: its origin, its layers and what is known of them, and its first filters."""
    settings = ", ".join(f"{name}={clip(value, 30)}" for name, value in list(shown.params.items())[:12])
    about = {"task": repr(shown.task), "seed": shown.seed, "settings": settings, "trained for": _epochs(shown.history)}
    modules = dict(shown.module.named_modules(remove_duplicate=False))
    rows = [
        (name, type(modules[name]).__name__, _weights(modules[name]), _known(shown, name), _remark(shown, name))
        for name in shown.layers[:_LAYERS]
    ]
    remarks = any(row[-1] for row in rows)
    head = ("layer", "module", "weights", "its neurons stand for", *(["activations"] if remarks else []))
    layers = table(head, [row if remarks else row[:-1] for row in rows], len(shown.layers), _LAYERS)
    return card(
        f"Network {clip(shown.name or type(shown.module).__name__)}", shown.origin, facts(about), beside(layers, _picture(shown))
    )


def directions(shown: Any) -> str:
    """HTML of `Directions`: how many features in how many neurons, and the first features."""
    features, neurons = shown.sparse.shape
    first = shown.features.head(8)
    rows = ([number, *values] for number, values in zip(first.index.tolist(), first.to_numpy().tolist(), strict=True))
    where = "at every place" if shown.by_place else ""
    return card(
        "Directions", f"{features:,} features in {neurons:,} neurons {where}", table(["feature", *first.columns], rows, features)
    )


def explanation(shown: Any, png: bytes, rows: Any) -> str:
    """HTML of an `Explanation`: its figure and its table.

    Parameters
    ----------
    shown : Explanation
    png : bytes
        The figure.
    rows : DataFrame
        The neurons that are listed, as text.
    """
    import base64

    alt = clip(shown.headline, 300).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    source = base64.b64encode(png).decode()
    image = f'<img alt="{alt}" style="max-width:100%;height:auto" src="data:image/png;base64,{source}">'
    body = table(list(rows.columns), rows.to_numpy().tolist(), len(shown.neurons)) or line("no neuron fired")
    return card("Explanation", shown.headline, image, body)


def first_filters(shown: Any) -> tuple[str, NDArray[np.float64]] | None:
    """Return the first module of a network that reads its images by weights, with these as pictures (K, C, k, l).

    Returns
    -------
    (str, ndarray) or None
        None where there is none, as in networks that are evaluated without weights. At most 24 filters.
    """
    shape = shown.task.image_shape
    for name, module in shown.module.named_modules():
        weight = module._parameters.get("weight")
        if weight is None or not weight.is_floating_point():
            continue
        if weight.ndim == 4 and weight.shape[1] == shape[0] and prod(weight.shape[2:]) > 1:
            return name, _array(weight[:_FILTERS])
        if weight.ndim == 2 and weight.shape[1] == prod(shape):
            return name, _array(weight[:_FILTERS]).reshape(-1, *shape)
    return None


def _remark(shown: Any, layer: str) -> str:
    after = shown.nonlinearity_after(layer)
    return f"before the non-linearity {after}" if after else ""


def _known(shown: Any, layer: str) -> str:
    if layer in shown.known_directions:
        return "features, as directions"
    known = shown.meanings.get(layer)
    if known is None:
        return "not known"
    return "known" if callable(known) else ", ".join(known)


def _weights(module: Any) -> str | int:
    return sum(weight.numel() for weight in module.parameters()) or "none"


def _epochs(history: Any) -> str:
    longest = max((len(values) for values in history.values()), default=0)
    last = ", ".join(f"{name} {float(values[-1]):.4g}" for name, values in list(history.items())[:3] if len(values))
    return f"{longest:,} {'epoch' if longest == 1 else 'epochs'}; at the end {last}" if longest else ""


def _array(weight: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = weight.detach().cpu().double().numpy()
    return values


def _picture(shown: Any) -> str:
    found = first_filters(shown)
    if found is None:
        return ""
    name, weights = found
    largest = float(np.abs(weights.mean(1)).max(initial=0))
    cells = [weight_pixels(one, largest, 36) for one in np.nan_to_num(weights)]
    caption = line(f"Weights of {name or 'the module'}, {size_of(weights.shape[1:])}: orange above 0, blue below")
    return picture(row_of(cells, 8, gap=9), f"the first {len(cells)} filters") + caption
