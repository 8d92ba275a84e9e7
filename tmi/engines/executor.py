"""Does a job: generates the data set, builds the network, applies the probe, and writes each to the store at once.

Every engine uses it, in its own process or in a worker's. One data set and one network are held in memory for the next job.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError, PluginError, StoreError
from tmi.probing.mutation import first_change, state_of
from tmi.runtime.guard import Guard
from tmi.stages import Stage
from tmi.store.leases import Busy
from tmi.store.results import Stored
from tmi.suites.plan import Planned

from .job import JobResult
from .making import collecting_warnings, is_current
from .product import Failed, Product, message_of, text_block
from .provenance import record_of
from .together import GroupMaker

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.probing.result import ProbeResult
    from tmi.tasks.dataset import Dataset


class Executor(GroupMaker):
    """Does jobs one after another, and holds the data set and the network of the last one.

    The parameters are those of `tmi.engines.making.Maker`.
    """

    def work(self, planned: Planned, stage: Stage = Stage.PROBE, others: Sequence[Planned] = ()) -> JobResult:
        """Do a job, unless the store has its result.

        Parameters
        ----------
        planned : Planned
        stage : {"dataset", "network", "probe"}
        others : sequence of Planned
            See `tmi.engines.job.Job`.

        Returns
        -------
        JobResult
            With the message of any error of a plug-in; `KeyboardInterrupt` alone is raised.
        """
        result, begun = JobResult(planned, stage), time.perf_counter()
        try:
            # A network's or data set's own code also runs outside the calls of the plug-in.
            with Guard(f"the code of {planned.cell}", report=result.remarks.append):
                self._work(planned, others, result)
        except Busy:
            result.busy = True
        except Failed as failed:
            result.failed, result.message, result.traceback = failed.stage, str(failed), failed.traceback
            result.mistake, result.ended = failed.mistake, failed.ended
        except StoreError as error:
            result.failed, result.message, result.fatal = stage, str(error), True
        except (Exception, SystemExit) as error:  # such as images that cannot be rendered
            result.failed, result.message, result.traceback = stage, message_of(error), text_block(traceback.format_exc())
        result.remarks += self._left
        self._left = []
        result.seconds = time.perf_counter() - begun
        return result

    def _work(self, planned: Planned, others: Sequence[Planned], result: JobResult) -> None:
        if result.stage == Stage.PROBE and self._read_stored(planned, result):
            return
        data = self._dataset(planned, result)
        if result.stage == Stage.DATASET:
            return
        if others:
            self._train_together(planned, data, others, result)
        network = self._network(planned, data, result)
        if result.stage == Stage.NETWORK:
            result.only_in_memory = not network.is_kept
            return
        with self._leased(Stage.PROBE, planned.key, result):
            if not self._read_stored(planned, result):  # another run may just have finished it
                self._probe(planned, network, data, result)

    def _read_stored(self, planned: Planned, result: JobResult) -> bool:
        if planned.key is not None and self._store.has(Stage.PROBE, planned.key):
            with collecting_warnings(result):
                result.stored = self._store.read(planned.key)
        return result.stored is not None

    def _probe(self, planned: Planned, network_product: Product, data_product: Product, result: JobResult) -> None:
        network: Network = network_product.value
        data: Dataset = data_product.value
        choice, seed = planned.cell.probe, planned.cell.seed
        probe = planned.registry.probe
        before = self._state or state_of(data, network)  # the state before a probe is the one after the probe before it
        changed = ""
        try:
            product = self._run(planned, Stage.PROBE, lambda: probe(choice.component, network, data, seed=seed, **choice.params))
        finally:
            in_memory = dict(self._in_memory)
            self._in_memory.clear()  # the next cell gets new ones, unless these are unchanged
            self._state = state_of(data, network)
            changed = first_change(before, self._state)
            if not changed:
                self._in_memory = in_memory
        if changed:
            text = f"the probe changed {changed} in place, which other probes share; let it work on a copy"
            raise Failed(Stage.PROBE, PluginError(text))
        seconds = {"dataset": data_product.seconds, "network": network_product.seconds, "probe": product.seconds}
        all_warnings = list(dict.fromkeys([*data_product.warnings, *network_product.warnings, *product.warnings]))
        record = record_of(planned, Stage.PROBE, seconds, network=network, data=data, warnings=all_warnings)
        record["network_threads"] = network_product.threads or record["threads"]
        if not product.value.applicable:
            record["not_applicable"] = "; ".join(product.value.notes) or "the probe gave no metric and no array"
        result.unkept |= product.unkept
        self._keep(planned, product.value, record, result)

    def _keep(self, planned: Planned, probe_result: ProbeResult, record: dict[str, Any], result: JobResult) -> None:
        stored = Stored(planned.key or "", dict(probe_result.metrics), record, tuple(probe_result.notes))
        if planned.key is not None and result.unkept:
            self._store.failures.clear(planned.key)
        elif planned.key is not None and is_current(planned, Stage.PROBE, result):
            try:
                self._store.write(planned.key, probe_result, record)
            except InputError as error:
                raise Failed(Stage.PROBE, error) from error
            self._store.failures.clear(planned.key)
            result.stored = stored
            return
        result.stored, result.result = stored, probe_result
