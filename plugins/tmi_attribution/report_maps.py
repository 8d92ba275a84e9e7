"""Sections of the report that show maps: of all methods on one image, and of networks that compute the same function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, figure, folded, paragraph, table

from .figures_maps import map_grid, side_by_side
from .labels import METHODS, NETWORKS
from .leaderboard import MethodScores, ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Maps = dict[str, dict[str, NDArray[np.float64] | None]]

GRADIENTS = ("saliency", "input-x-gradient", "integrated-gradients", "deeplift", "guided-backprop", "deconvolution")
"""Methods that follow gradients, shown on networks that compute the same function."""


def all_maps(results: tmi.Results, rows: Sequence[MethodScores]) -> Section | None:
    """Return the section with the maps of all methods on one image; None without maps."""
    shown = _shown(results)
    if shown is None:
        return None
    maps = shown.maps
    names = [name for name in ranked(rows) if any(methods.get(name) is not None for methods in maps.values())]
    constructed, trained = (shown.of(origin) for origin in ("constructed", "trained"))
    pair = [*constructed[:1], *trained[:1]] or list(maps)[:1]
    filled = _fill_refused(maps, constructed)
    caption = (
        "Signed attributions of the label's logit, each map with its own colour scale: red supports the label, blue opposes it. "
        "The outline is the tile's support."
    )
    body = figure(
        map_grid(shown.image, shown.mask, {name: maps[name] for name in pair}, names),
        "The maps of all attribution methods on one image",
        caption + filled,
    )
    others = [name for name in trained if name not in pair]
    if others:
        tried = [name for name in names if any(name in maps[other] for other in others)]
        drawn = map_grid(shown.image, shown.mask, {name: maps[name] for name in others}, tried, columns=3)
        body += folded(
            "The other trained networks",
            figure(drawn, "The maps of all attribution methods on one image, on the other trained networks", caption),
        )
    return Section("The maps of all methods on one image", body)


def same_function(results: tmi.Results) -> Section | None:
    """Return the section that compares networks that compute the same function; None for fewer than two of them."""
    shown = _shown(results)
    if shown is None:
        return None
    maps = {name: shown.maps[name] for name in shown.of("constructed")}
    methods = [name for name in GRADIENTS if sum(by_method.get(name) is not None for by_method in maps.values()) > 1]
    if len(maps) < 2 or not methods:
        return None
    body = []
    for method in methods:
        first, reference = next(
            (name, by_method[method]) for name, by_method in maps.items() if by_method.get(method) is not None
        )
        differences = {name: _difference(reference, by_method.get(method)) for name, by_method in maps.items()}
        body.append((method, *("compared with" if name == first else differences[name] for name in maps)))
    return Section(
        "The same function, other attributions",
        paragraph(
            "These networks compute the same logits. Theorem 1 fused and Theorem 1 as layers have the same gradients too, and "
            "the same maps. Theorem 2 is built from other neurons: where a tile matches exactly, its ReLUs are at their kink and "
            "the gradient is 0; as layers, rounding carries some of them past the kink. So an attribution is a property of the "
            "network, not of the function that it computes, and a map of zeros does not mean that the pixels do not matter."
        )
        + figure(
            side_by_side(shown.image, shown.mask, maps, methods),
            "Maps of gradient methods on networks that compute the same function",
            "The same image on constructed networks. Each map has its own colour scale; red supports the label, blue opposes it.",
        )
        + table(("method", *maps), body, "Largest difference between two maps, over the largest attribution of the two."),
    )


@dataclass(frozen=True, eq=False)
class _Shown:
    """One image, its mask, and the maps on it by network and method; None where the method was refused."""

    image: NDArray[np.float64]
    mask: NDArray[np.bool_]
    maps: Maps
    origins: Mapping[str, str]

    def of(self, origin: str) -> list[str]:
        """Return the networks of one origin."""
        return [name for name in self.maps if self.origins[name] == origin]


def _shown(results: tmi.Results) -> _Shown | None:
    """Return the maps on the first kept image of the first seed."""
    chosen = [e for e in results if e.probe in METHODS and e.status == "ok" and "method" in e.swept]
    seed = min((entry.seed for entry in chosen), default=0)
    first: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None
    maps: Maps = {name: {} for name in NETWORKS.values()}
    origins: dict[str, str] = {}
    for entry in chosen:
        if entry.seed != seed:
            continue
        result = results.load(entry)
        name = NETWORKS.get(entry.network, entry.network)
        origins[name] = entry.record.get("network_origin", "")
        signed = None
        if "signed" in result.arrays:
            images = result.arrays["images"].values
            first = first or (images[0], result.arrays["masks"].values[0])
            same = [place for place, image in enumerate(images) if image.shape == first[0].shape and np.allclose(image, first[0])]
            signed = result.arrays["signed"].values[same[0]].astype(np.float64).sum(0) if same else None
        maps.setdefault(name, {})[entry.swept["method"]] = signed
    return None if first is None else _Shown(*first, {name: by_method for name, by_method in maps.items() if by_method}, origins)


def _fill_refused(maps: Maps, constructed: Sequence[str]) -> str:
    """Replace the maps that a fused network refuses by those of the same network as layers, and return a note about it."""
    if not constructed or f"{constructed[0]} as layers" not in maps:
        return ""
    fused, layers = maps[constructed[0]], maps[f"{constructed[0]} as layers"]
    names = [name for name, values in layers.items() if values is not None and fused.get(name, values) is None]
    maps[constructed[0]] = fused | {name: layers[name] for name in names}
    return f" Refused for the fused network, and shown for the same network as layers: {', '.join(names)}." if names else ""


def _difference(first: NDArray[np.float64] | None, second: NDArray[np.float64] | None) -> str | None:
    if first is None or second is None:
        return None
    largest = max(np.abs(first).max(), np.abs(second).max())
    return "both 0" if largest == 0 else f"{np.abs(first - second).max() / largest:.2g}"
