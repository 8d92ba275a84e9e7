"""The summary in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..claims import claims
from ..claims.claim import at_one_tile, swept_values
from ..claims.squares import is_dead

if TYPE_CHECKING:
    import tmi


def plain_summary(results: tmi.Results) -> list[str]:
    """Summarise the results in plain words, for readers who do not know the paper.

    Parameters
    ----------
    results : Results
        Of suite ``paper``, or of a part of it.
    """
    texts = [
        "Small worlds in which the right answer is known exactly: tiny images with a black or a white square, larger ones with a "
        "piece of clothing on noise, photographs with a cat or a dog. The same questions are put to two kinds of networks: those "
        "that are constructed from a theorem, whose every neuron stands for one picture at one place, and those that are trained."
    ]
    parts = (_constructed(results), _trained_accuracy(results), _active_neurons(results), _verdicts(results))
    texts += [text for text in parts if text]
    lost = len(results.failed) + len(results.missing)
    if lost:
        texts.append(f"{lost} of {len(results)} measurements are missing; they are listed below.")
    return texts


def _constructed(results: tmi.Results) -> str:
    accuracy, off = [], []
    for network in ("theorem1", "theorem2"):
        chosen = results.select(network=network, probe="accuracy")
        accuracy += chosen.values("accuracy")
        off += chosen.values("offlabel_logit_max")
    if not accuracy or not off:
        return ""
    wrong = sum(value < 1 for value in accuracy)
    return (
        f"The constructed networks made {f'mistakes in {wrong} of' if wrong else 'no mistake in'} {len(accuracy)} runs, and gave "
        f"wrong answers a score of {'exactly 0' if max(off) == 0 else 'more than 0'}."
    )


def _trained_accuracy(results: tmi.Results) -> str:
    parts = []
    for k in swept_values(results, "tiles_per_class"):
        values = results.select(network="trained", probe="accuracy", tiles_per_class=k).values("accuracy")
        if values:
            parts.append(f"{np.mean(values):.1%} with {k} picture{'s' if k > 1 else ''} a class")
    text = f"On the clothing images the trained networks were right on {', '.join(parts)}. " if parts else ""
    if 1 in swept_values(results, "filters"):
        chosen = results.select(dataset="squares", network="trained-squares", probe="accuracy", filters=1)
        runs = [entry for entry in chosen if "accuracy" in entry.metrics]
        live = [entry.metrics["accuracy"] for entry in runs if not is_dead(results, entry)]
        if runs:
            text += f"On the squares, {len(runs) - len(live)} of {len(runs)} training runs with a single filter died"
            text += f"; the others were right on {np.mean(live):.1%} of the images on average." if live else "."
    return text


def _active_neurons(results: tmi.Results) -> str:
    layer = {"theorem1": "hidden", "trained": "conv"}
    active, size, std = {}, {}, {}
    for network, name in layer.items():
        chosen = at_one_tile(results, network, "activation-sparsity")
        active[network], size[network] = chosen.values(f"active_per_image.{name}"), chosen.values(f"neurons.{name}")
        std[network] = at_one_tile(results, network, "translation-robustness").values("logit_std")
    if not all((*active.values(), *std.values())):
        return ""
    return (
        f"Inside, the two have little in common. For an image the constructed network uses {np.mean(active['theorem1']):.3g} of "
        f"its {size['theorem1'][0]:,.0f} hidden neurons, the trained one {np.mean(active['trained']):,.0f} of "
        f"{size['trained'][0]:,.0f}. If the piece of clothing is moved, the constructed network's scores vary by "
        f"{np.mean(std['theorem1']):.3g}, the trained one's by {np.mean(std['trained']):.3g} (standard deviation)."
    )


def _verdicts(results: tmi.Results) -> str:
    stated = [claim for claim in claims(results) if claim.of_paper]
    holding = sum(claim.holds for claim in stated)
    text = f"Of {len(stated)} claims of the paper that were checked, {holding} hold; the table says by which criterion."
    return text if stated else ""
