"""What the neurons that both constructions have in common stand for: those of ``hidden`` and ``logits``."""

from __future__ import annotations

from typing import Any

import numpy as np

import tmi


def meanings(task: tmi.TemplateTask) -> dict[str, dict[str, Any]]:
    """Return the columns of `tmi.Network.neurons` for the layers ``hidden`` and ``logits``.

    Parameters
    ----------
    task : TemplateTask

    Returns
    -------
    dict
        ``hidden``: tile, class, and the row and column of the window's top left corner, in the order (tile, row, col).
        ``logits``: class.
    """
    places = [np.indices(windows).reshape(2, -1) for windows in task.windows]
    tile = np.repeat(np.arange(len(task.tiles)), [part.shape[1] for part in places])
    row, col = np.concatenate(places, axis=1)
    names = np.array(task.class_names, object)[task.tile_class[tile]]
    return {"hidden": {"tile": tile, "class": names, "row": row, "col": col}, "logits": {"class": list(task.class_names)}}
