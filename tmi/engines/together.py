"""Trains the networks of several cells in one call of a plug-in, and writes each to the store under its own key.

A builder that declares `tmi.together` promises that a network is the same whether it is trained alone or with others; only its
provenance says with how many it was trained. A network whose training fails here is trained alone, and has then its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError, PluginError
from tmi.networks.train_once import Trained, weights
from tmi.plugins.together import Request, State, declared_by
from tmi.runtime.seeds import fixed_seed
from tmi.stages import Stage
from tmi.store.leases import Busy, TooManyAttempts
from tmi.suites.plan import Planned

from .job import JobResult
from .making import Maker
from .product import Failed, Product
from .provenance import record_of

if TYPE_CHECKING:
    from tmi.tasks.dataset import Dataset

MOST_BYTES = 256_000_000
"""Bytes of training images that the data sets of a group may have in sum; the networks of further ones are trained later."""

_Member = tuple[Planned, "Product"]  # with its data set


class GroupMaker(Maker):
    """A `Maker` that can also train several networks in one call."""

    def _train_together(self, first: Planned, data: Product, others: Sequence[Planned], result: JobResult) -> None:
        """Train networks with the first in one call, and write them and the first to the store.

        Parameters
        ----------
        first : Planned
        data : Product
            Its data set.
        others : sequence of Planned
            Those that may be trained with it. Those that are not are left alone: such as belong to another group, another process
            has, or would take too much memory.
        result : JobResult
            Of the first; gets the keys of those that failed as ``separate``.
        """
        in_memory = self._in_memory.get(Stage.DATASET)
        self._of_group.clear()
        tried = [first, *others]
        try:
            with ExitStack() as leases:
                chosen = [planned for planned in self._group_of(first, data, others) if self._lease(planned, leases)]
                members = self._with_data(chosen, first, data, result)
                tried = [planned for planned, _ in members] if len(members) > 1 else []
                if tried:
                    self._train_and_write(members, result)
        except Failed as failed:
            self._say_alone(first, failed, result)
        finally:
            self._in_memory.clear()
            if in_memory is not None:
                self._in_memory[Stage.DATASET] = in_memory
        keys = [planned.network_key for planned in tried if not self._store.has(Stage.NETWORK, planned.network_key)]
        result.separate += [key for key in keys if key is not None]

    def _say_alone(self, planned: Planned, failed: Failed, result: JobResult) -> None:
        name = planned.cell.network.component.name
        result.remarks.append(f"network {name}: cannot be trained with others ({failed}); it is trained alone")

    def _group_of(self, first: Planned, data: Product, others: Sequence[Planned]) -> list[Planned]:
        """Return the first and those of the others that its builder trains in one call with it."""
        component = first.cell.network.component
        declared = declared_by(component.function)
        if declared is None or data.unkept:
            return []

        def belong() -> list[bool]:
            _, group = declared.functions(str(component))
            own, *theirs = [group(data.value, planned.cell.seed, _settings(planned)) for planned in (first, *others)]
            hash(own)  # what cannot be hashed, such as an array, need not compare as equal or not
            return [hash(its) == hash(own) and bool(its == own) for its in theirs]

        chosen = self._run(first, Stage.NETWORK, belong, in_group=True).value
        return [first, *(planned for planned, is_in in zip(others, chosen, strict=True) if is_in)]

    def _lease(self, planned: Planned, leases: ExitStack) -> bool:
        """Take the lease of a network until the stack is closed; return whether it is to be trained here."""
        with suppress(Busy, TooManyAttempts):
            leases.enter_context(self._leases.hold(planned.network_key, in_group=True))
            return not self._store.has(Stage.NETWORK, planned.network_key)
        return False

    def _with_data(self, chosen: Sequence[Planned], first: Planned, data: Product, result: JobResult) -> list[_Member]:
        """Return those whose data sets can be had and held at the same time, with their data sets."""
        products = {first.dataset_id: data}
        members: list[_Member] = []
        left = MOST_BYTES - _size(data.value)
        for planned in chosen if len(chosen) > 1 else ():
            product = products.get(planned.dataset_id)
            if product is None and left > 0:
                own = JobResult(planned, Stage.DATASET)
                with suppress(Busy, Failed):  # its own job fails with the same error
                    product = self._dataset(planned, own)
                result.remarks += own.remarks
                if product is None or product.unkept:
                    continue
                products[planned.dataset_id] = product
                left -= _size(product.value)
            if product is not None:
                members.append((planned, product))
        return members

    def _train_and_write(self, members: Sequence[_Member], result: JobResult) -> None:
        first = members[0][0]
        component = first.cell.network.component
        declared = declared_by(component.function)
        assert declared is not None
        requests = [Request(data.value, planned.cell.seed, _arguments(planned)) for planned, data in members]

        def states() -> list[Trained | None]:
            train, _ = declared.functions(str(component))
            with fixed_seed(first.cell.seed):
                returned = list(train(requests))
            if len(returned) != len(requests):
                raise PluginError(f"tmi.together of {component}: returned {len(returned)} states for {len(requests)} networks")
            return [None if state is None else _trained(state) for state in returned]

        trained = self._run(first, Stage.NETWORK, states, in_group=True, networks=len(members))
        if trained.unkept:
            raise Failed(Stage.NETWORK, PluginError(next(iter(trained.unkept.values()))))
        share = trained.seconds / len(members)
        for (planned, data), state in zip(members, trained.value, strict=True):
            if state is not None:
                extra = {"warnings": trained.warnings, "trained_together": len(members)}
                self._write_member(planned, data, state, share, extra, result)

    def _write_member(
        self, planned: Planned, data: Product, state: Trained, share: float, extra: dict[str, Any], result: JobResult
    ) -> None:
        """Build a network with what was trained for it, and write it to the store."""

        def build() -> Any:
            choice = planned.cell.network
            with weights(state.weights, state.history):
                return planned.registry.build(choice.component, data.value, seed=planned.cell.seed, **choice.params)

        try:
            product = self._run(planned, Stage.NETWORK, build, in_group=True)
        except Failed as failed:
            self._say_alone(planned, failed, result)
            return
        if self._may_keep(planned, Stage.NETWORK, product, result):
            given = list(dict.fromkeys([*extra["warnings"], *product.warnings]))
            product = product._replace(seconds=round(product.seconds + share, 6), warnings=given, is_kept=True)
            record = record_of(planned, Stage.NETWORK, product.seconds, network=product.value, warnings=given)
            with suppress(InputError, MemoryError):  # it is trained alone, with a remark why it is not kept
                self._store.write_network(planned.network_key or "", product.value, state, extra | record)
                self._of_group[Stage.NETWORK, (planned.dataset_id, planned.network_id)] = product
                self._of_group[Stage.DATASET, planned.dataset_id] = data


def _settings(planned: Planned) -> dict[str, Any]:
    choice = planned.cell.network
    return planned.registry.check("network", choice.component, dict(choice.params))


def _arguments(planned: Planned) -> dict[str, Any]:
    return planned.registry.with_references(planned.cell.network.component, _settings(planned))


def _size(data: Dataset) -> int:
    return len(data.train) * int(np.prod(data.task.image_shape)) * 4


def _trained(state: State) -> Trained:
    arrays, history = state
    plain = {name: value if isinstance(value, np.ndarray) else value.detach().cpu().numpy() for name, value in arrays.items()}
    return Trained(
        {f"0.{name}": np.array(value, order="C") for name, value in plain.items()},
        {f"0.{name}": np.array(values, float) for name, values in history.items()},
        calls=1,
    )
