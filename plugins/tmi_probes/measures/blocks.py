"""The block structure of a layer's weights: a graph between its inputs and its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Blocks:
    """The connected parts of a layer's weights.

    Attributes
    ----------
    components : int
        Connected components that have an edge.
    largest : float
        Share of the connected neurons that are in the largest component.
    modularity : float
        Of the division by outputs, in which each input belongs to the output of its largest |weight|. From 0 (for one output) to
        1 − 1/L.
    """

    components: int
    largest: float
    modularity: float


def blocks(weight: NDArray[Any]) -> Blocks | None:
    """Measure the graph whose edges are the weights that are not 0, inputs and outputs being its nodes.

    Parameters
    ----------
    weight : ndarray, shape (outputs, inputs)

    Returns
    -------
    Blocks or None
        None where every weight is 0.

    Notes
    -----
    Modularity of a bipartite graph (Barber 2007) with |w| as weights: Σ_c w_c/w − (in_c/w)(out_c/w), where w_c is the weight
    inside community c, in_c and out_c the weight of all edges at its inputs and at its outputs, and w the weight of all edges.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    size = np.abs(weight).astype(np.float64)
    total = size.sum()
    if not total > 0:
        return None
    outputs, inputs = size.shape
    row, col = np.nonzero(size)
    nodes = outputs + inputs
    graph = csr_array((np.ones(len(row)), (row, outputs + col)), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    connected = np.zeros(nodes, bool)
    connected[row] = connected[outputs + col] = True
    sizes = np.bincount(component[connected])
    sizes = sizes[sizes > 0]
    home = size.argmax(0)
    inside = np.bincount(home, size[home, np.arange(inputs)], outputs)
    of_inputs, of_outputs = np.bincount(home, size.sum(0), outputs), size.sum(1)
    modularity = float((inside / total - of_inputs / total * (of_outputs / total)).sum())
    return Blocks(len(sizes), float(sizes.max() / sizes.sum()), modularity)
