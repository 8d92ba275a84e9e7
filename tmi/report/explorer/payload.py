"""What a page of the explorer holds: the tiles and some scenes of a data set, and networks, as JSON with arrays in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError, TmiError

from .operations import Program, program

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset
    from tmi.tasks.task import TemplateTask

SCENES = 12
"""Scenes at most, one of each class first."""

BACKGROUNDS = 400_000
"""Characters that their backgrounds may take; of large images there are fewer scenes."""

ROWS = 200_000
"""Neurons of a layer at most whose meanings are in the page."""

_CHECKED = 4  # images on which the operations of a network are compared with it


def world(data: Dataset, networks: Mapping[str, Network], room: int, left_out: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return a data set and networks as JSON for explorer.js.

    Parameters
    ----------
    data : Dataset
        Whose tiles are known.
    networks : mapping of str to Network
        By the name that the page shows. A network that the explorer cannot compute is left out, and the page says why.
    room : int
        Characters that it may take. A network for which there is no room is left out.
    left_out : iterable of (str, str)
        Networks that could not be built, each with the reason.

    Raises
    ------
    InputError
        If the tiles of the data set are not known, no scene shows a tile, or the tiles alone have no room.
    """
    task = data.task
    if not task.has_tiles:
        raise InputError(f"explorer: data set {data.name!r} has labelled images, and no tile that could be moved")
    scenes = data.test if len(data.test) else data.train
    chosen = _chosen(scenes)
    result: dict[str, Any] = {
        "name": data.name or "data set",
        "shape": [*task.image_shape],
        "ink": task.ink,
        "paste": scenes.paste,
        "classes": [*task.class_names],
        "tiles": _tiles(task),
        "scenes": [
            {"tile": int(one.tile), "row": int(one.row), "col": int(one.col), "background": pack(one.backgrounds[0].numpy())}
            for one in (scenes[i] for i in chosen)
        ],
        "networks": [],
        "left_out": [{"name": name, "why": why} for name, why in left_out],
    }
    room -= size(result)
    if room < 0:
        raise InputError(f"explorer: the {len(task.tiles)} tiles of data set {data.name!r} are too large for a page")
    images = scenes[chosen[:_CHECKED]].images.float()
    for name, network in networks.items():
        try:
            described = _fitting(name, network, images, room)
            same = [other["name"] for other in result["networks"] if other["operations"] == described["operations"]]
            if same:
                raise InputError(f"the page computes it by the same operations as {same[0]}")
        except TmiError as error:
            result["left_out"].append({"name": name, "why": str(error)})
            continue
        room -= size(described)
        result["networks"].append(described)
    return result


def pack(array: Any) -> dict[str, Any] | None:
    """Return an array as base64, little endian, with the least type that holds it.

    Whole numbers become uint8, uint16 or int32. Other numbers become float32, as every network computes with, or multiples of
    1/255 as uint8 where they are exactly that; ``scale`` then says so.
    """
    if array is None:
        return None
    values = np.asarray(array)
    kind, scale = "<f4", 0
    if not values.size:
        kind = "u1"
    elif values.dtype.kind in "bui" or ((np.abs(values) < 2**31).all() and (values == np.rint(values)).all()):
        low, high = values.min(), values.max()
        kind = "<i4" if low < 0 or high >= 2**16 else "u1" if high < 2**8 else "<u2"
    elif values.min() >= 0 and values.max() <= 1 and (np.rint(values * 255) / 255 == values).all():
        kind, scale, values = "u1", 255, np.rint(values * 255)
    packed = {"type": kind[-2:], "data": base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()}
    return packed | ({"scale": scale} if scale else {})


def size(value: Any) -> int:
    """Return about how many characters a part of the page takes."""
    if isinstance(value, Mapping):
        return sum(size(key) + size(one) for key, one in value.items()) + 2
    if isinstance(value, list | tuple):
        return sum(map(size, value)) + 2
    return len(str(value)) + 3


def _chosen(scenes: Any) -> list[int]:
    """Return the numbers of scenes with a tile, one of each class first."""
    import torch

    labels = scenes.labels
    first = [int(torch.nonzero(labels == label)[0, 0]) for label in labels.unique().tolist() if label >= 0]
    others = [i for i in torch.nonzero(labels >= 0).flatten().tolist()[: 2 * SCENES] if i not in first]
    if not first:
        raise InputError("explorer: no scene of the data set shows a tile")
    channels, rows, cols = scenes.task.image_shape
    most = max(1, min(SCENES, BACKGROUNDS // (6 * channels * rows * cols)))  # float32 in base64
    return (sorted(first) + others)[:most]


def _tiles(task: TemplateTask) -> list[dict[str, Any]]:
    return [
        {
            "name": task.tile_name(number),
            "class": int(task.tile_class[number]),
            "shape": [*tile.shape],
            "epsilon": tile.epsilon,
            "values": pack(tile.values),
            "support": pack(np.packbits(tile.support)),
        }
        for number, tile in enumerate(task.tiles)
    ]


def _fitting(name: str, network: Network, images: Any, room: int) -> dict[str, Any]:
    """Describe a network by its layers, or where these are too large by its formula."""
    described = _network(name, network, program(network, images))
    if size(described) <= room:
        return described
    try:
        formula = _network(name, network, program(network, images, layers=False))
    except InputError:
        formula = described
    if size(formula) > room:
        raise InputError(f"its weights take {size(described) / 1e6:.2g} MB, and the page has room for {room / 1e6:.2g} MB")
    return formula


def _network(name: str, network: Network, found: Program) -> dict[str, Any]:
    packed = [
        {key: pack(value) if isinstance(value, np.ndarray) else value for key, value in operation.items()}
        for operation in found.operations
    ]
    layers = []
    for layer, last in found.outputs.items():
        shape = found.operations[last]["shape"]
        layers.append({"name": layer, "operation": last, "shape": shape, **_known(network, layer, int(np.prod(shape)))})
    origin = {"name": name, "origin": network.origin, "builder": network.name, "note": found.note}
    return {**origin, "operations": packed, "layers": layers}


def _known(network: Network, layer: str, neurons: int) -> dict[str, Any]:
    """What the neurons of a layer mean, as columns, or the directions of features in it."""
    if layer == network.layers[-1] or neurons > ROWS:
        return {}
    if layer in network.known_directions:
        known = network.directions(layer)
        assert known is not None
        matrix = known.sparse
        arrays = {"starts": pack(matrix.indptr), "columns": pack(matrix.indices), "values": pack(matrix.data)}
        return {"directions": {**arrays, "by_place": known.by_place, "features": _columns(known.features)}}
    table = network.neurons(layer)
    return {} if table is None else {"neurons": _columns(table)}


def _columns(table: Any) -> dict[str, Any]:
    columns = {}
    for name, column in table.items():
        values = column.to_numpy()
        if values.dtype == object:
            names, index = np.unique(values.astype(str), return_inverse=True)
            columns[str(name)] = {"names": names.tolist(), "index": pack(index)}
        else:
            columns[str(name)] = {"index": pack(values)}
    return columns
