"""A network under study: a torch module with named layers, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .layers import LayeredModule

if TYPE_CHECKING:
    import os

    import torch
    from matplotlib.axes import Axes

    from .explanation import Explanation


class Network(LayeredModule):
    """A torch module with named layers; the type in which probes get every network.

    Parameters
    ----------
    module : torch.nn.Module
        Maps images (N, C, m, n) to logits (N, L). Where it has an attribute ``images_at_once``, batches are no larger than that.
        Wrappers (DataParallel, ``torch.compile``) are removed, and weights of lower precision than float32 are copied to float32,
        which holds them exactly; the attribute ``module`` is what is examined.
    layers : sequence of str
        Names of submodules, first to last; the last one gives the logits. The activations of a layer are its submodule's output,
        after the non-linearity where the submodule contains one.
    origin : {"constructed", "trained", "imported"}
        Where its weights come from.
    task : TemplateTask
        The classification problem that it solves.
    output : int, str or callable, optional
        Which part of the module's answer the logits are: a position in a tuple, a name in a dict or object, or a function of the
        answer.
    form : {"squeeze", "sigmoid", "mean", "max"}, optional
        How that part becomes logits (N, L): without its axes of length 1; one logit z as the two logits −z/2 and z/2, whose
        softmax is the sigmoid of z; a map reduced to the mean or the maximum over its places.
    parts : mapping of str to (int, str or callable), optional
        For a layer whose output is no single tensor, which part of it the activations are.
    meanings : mapping of str to (mapping of str to sequence, or callable that returns one), optional
        For each layer whose neurons are understood, columns as long as the flattened layer: the tile, class, row, col, … that
        each neuron stands for. A callable is called when the table is first needed: a layer may have millions of neurons.
    directions : mapping of str to (Directions, or callable that returns them), optional
        For each layer in which directions stand for features but single neurons do not: those directions.
    history : mapping of str to array_like, optional
        What was recorded during training, one value an epoch: ``loss``, …
    name : str
        The registered name of its builder; filled in by `tmi.build`.
    seed : int or None
    params : mapping
        The builder's settings, defaults included; filled in by `tmi.build`.

    Raises
    ------
    InputError
        If there is no layer, the origin is none of the three, ``form`` is unknown, or the columns of a layer's meanings differ in
        length. What the module computes is checked on the first image, see `check`.
    UnknownNameError
        If the module has no submodule of a layer's name, or meanings, directions or parts are given for a name that is
        not a layer.
    """

    def explain(self, image: Any, layers: Sequence[str] | str | None = None) -> Explanation:
        """List the neurons that fired on an image, and what each stands for.

        Parameters
        ----------
        image : Tensor or array, float32 or float64, shape (C, m, n) or (1, C, m, n), in [0, 1]
        layers : sequence of str, optional
            Layers whose neurons are understood; by default those whose neurons stand for a tile at a place.

        Returns
        -------
        Explanation
            It prints as a table, shows itself in a notebook, and draws itself with its method ``figure``.

        Raises
        ------
        InputError
            For a bad image, or a network whose neurons have no known meaning, such as a trained one.
        UnknownNameError
            For a layer whose neurons are not understood.
        """
        from .explanation import explain

        return explain(self, image, layers)

    def plot(self, what: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the first filters or the training on ``ax``, or on the axes of a new figure; return the axes.

        Nothing is evaluated.

        Parameters
        ----------
        what : str, optional
            ``"weights"``, those of the first module that reads the images, as pictures; or a name in ``history``, such as
            ``"loss"``. By default the weights, else the training, else the tiles of the task.
        ax : Axes, optional

        Raises
        ------
        UnknownNameError
            For a name that ``history`` does not have.
        InputError
            For ``"weights"`` where no module reads the images by weights.
        """
        from tmi.views.network_plots import network

        return network(self, what, ax)

    def certificate(self, images: Any, labels: Any = None) -> torch.Tensor:
        """Return how far each image may change before a constructed network's answer can.

        With z = ε − t of all windows, the radius is the smaller of the greatest z among the label's neurons and the least −z
        among those of other classes. An image whose pixels change by less than that in sum (L1) keeps its label's logit above 0
        and every other logit at exactly 0.

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
        labels : sequence of int, optional
            The correct class of each image; by default the one that it shows.

        Returns
        -------
        Tensor of float64, shape (N,)
            0 where nothing is certified: the image shows no class or several, or another than its label. Correct to float64
            rounding; a literal network in float32 errs by more, see `tmi.rounding`.

        Raises
        ------
        InputError
            For bad images or labels, and for a network that is not constructed or whose logits are not φ of its task on test
            images: the bound holds for φ alone.
        """
        from .certificate import certificate

        return certificate(self, images, labels)

    def export(
        self, path: str | os.PathLike[str], *, format: str | None = None, dtype: str | None = None, opset: int | None = None
    ) -> None:
        """Write the network as a program that runs without tmi: images (N, C, m, n) in, logits (N, L) out, for any N.

        A network that computes φ, literal or fused, is written as that formula, in standard operations with sums in float64; any
        other is written layer by layer. The program's logits are compared with the network's on random scenes, which show every
        tile, before the file is written. The program does not check its images. ONNX files hold the names
        of the classes as the metadata ``classes``, torch's as the extra file ``classes.json``.

        Parameters
        ----------
        path : path
            Ending in ``.onnx`` or ``.pt2``.
        format : {"onnx", "torch"}, optional
            ONNX, or an exported program of ``torch.export``; by default taken from the path's ending. ONNX needs the extra
            ``export``.
        dtype : {"float32", "float64"}, optional
            Of the images and logits; by default that of the network's weights, float32 where it has none.
        opset : int, optional
            Version of ONNX's operators, 18 to 23; by default torch's.

        Raises
        ------
        InputError
            For an unknown format, dtype or opset, a missing package, a path that cannot be written, a module that torch cannot
            trace, or a program whose logits are not the network's.
        """
        from .export import export

        export(self, path, format=format, dtype=dtype, opset=opset)

    def plain(self) -> Network:
        """Return the same network with every weight an ordinary parameter, with the value that the layers compute with.

        Probes that read weights read those. Folded in are ``torch.nn.utils.parametrize`` and ``parametrizations``, the hooks of
        ``weight_norm``, ``spectral_norm`` and ``prune``, and other forward pre-hooks that set a weight.

        Returns
        -------
        Network
            This network itself where there is nothing to fold in. Shared parameters stay shared.

        Raises
        ------
        InputError
            If the copy does not compute what the network computes, on two random images.
        """
        import torch

        from .plain import plain

        images = torch.rand(2, *self.task.image_shape, generator=torch.Generator().manual_seed(0))
        self.check(images)
        module = plain(self.module, torch.cat(list(self._batches(images, 1))))
        return self if module is self.module else self.with_module(module)

    def untrained(self) -> Network | None:
        """Return the same architecture with the weights that it had before training: a control for what training changed.

        Returns
        -------
        Network or None
            With this network's layers and task, its origin "trained" and without history. None for a network whose builder trains
            nothing, or trains without `tmi.train_once`, for one that is pruned or parametrised after training, and for an
            untrained one.
        """
        from .train_once import initial_module

        module = initial_module(self.module)
        if module is None:
            return None
        network = self.with_module(module)
        network.history = {}
        return network

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as plain arrays by name, in the format safetensors; needs the extra ``export``.

        Raises
        ------
        InputError
            If the network has no weights (the fused ones have none), safetensors is missing, or the path cannot be written.
        """
        from .export import save_weights

        save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Read weights that `save_weights` wrote into this network.

        Raises
        ------
        DataFileError
            If the file is missing, damaged, or of another format.
        InputError
            If names, shapes, dtypes or classes are not this network's, a weight is not finite, or the network is constructed and
            the weights differ from its own: it would no longer be the network of its task.
        """
        from .export import load_weights

        load_weights(self, path)
