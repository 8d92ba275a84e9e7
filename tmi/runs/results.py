"""Results: the entries of a run, its rows as a table, and the arrays of each entry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tmi.errors import UnknownNameError, did_you_mean
from tmi.runtime.formatting import format_count
from tmi.runtime.paths import absolute

if TYPE_CHECKING:
    import pandas as pd
    import xarray
    from matplotlib.axes import Axes

    from tmi.plugins.registry import Registry
    from tmi.probing.result import MetricInfo, ProbeResult
    from tmi.store.store import Store

Status = Literal["ok", "not applicable", "failed", "missing"]
"""It has a result; its probe does not apply to its network; it failed; it was not computed."""


@dataclass
class Entry:
    """One cell of a suite and its result.

    Attributes
    ----------
    cell : str
        Its name, as patterns see it: ``fashion[tiles_per_class=1]/constructed/accuracy seed 0``.
    dataset, network, probe : str
        Labels of the suite's tables.
    seed : int
    swept : dict
        Values of the swept settings, by column.
    status : {"ok", "not applicable", "failed", "missing"}
    key : str or None
        Of the stored result; None where it cannot be stored.
    metrics : dict of str to float
        Empty unless the status is ok.
    message : str
        Why it failed, or why its probe does not apply.
    cached : bool
        Whether the store had it before the run.
    record : dict
        Provenance.
    notes : tuple of str
        What the probe says about its numbers.
    traceback : str
        Where it failed.
    mistake : bool
        Whether its data set or network cannot be made with these settings, so that it would fail again.
    """

    cell: str
    dataset: str
    network: str
    probe: str
    seed: int
    swept: dict[str, Any]
    status: Status
    key: str | None
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""
    cached: bool = False
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    traceback: str = field(default="", repr=False)
    mistake: bool = False
    _result: ProbeResult | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        from tmi.views.results import entry_text

        return entry_text(self)

    def __str__(self) -> str:
        return self.cell

    @property
    def registered_probe(self) -> str:
        """The registered name of its probe; the label where nothing is recorded."""
        return str(self.record.get("probe", {}).get("name", self.probe))


class Results:
    """The results of a suite: one entry a cell, one row a metric.

    Parameters
    ----------
    entries : iterable of Entry
    store : Store or None
        Where the arrays are.
    name, description : str
        Of the suite.
    columns : mapping of str to str
        The swept settings as columns, and whose they are: dataset, network or probe.
    report : str or None
        The registered report of the suite.
    registry : Registry, optional
        Where the suite's plug-ins are found.
    source : str
        The name of the suite's file, in the registry's folder.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        store: Store | None = None,
        *,
        name: str = "",
        description: str = "",
        columns: Mapping[str, str] | None = None,
        report: str | None = None,
        registry: Registry | None = None,
        source: str = "",
    ) -> None:
        self.entries = list(entries)
        self.store = store
        self.name, self.description, self.report = name, description, report
        self.columns = dict(columns or {})
        self.registry, self.source = registry, source

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __repr__(self) -> str:
        missing = f", {len(self.missing)} missing" if self.missing else ""
        return f"Results({self.name}: {format_count(len(self), 'cell')}, {len(self.failed)} failed{missing})"

    def _repr_html_(self) -> str:
        from tmi.views.results import results

        return results(self)

    @property
    def failed(self) -> list[Entry]:
        """The entries that failed."""
        return [entry for entry in self.entries if entry.status == "failed"]

    @property
    def missing(self) -> list[Entry]:
        """The entries that were not computed, and that the store does not have."""
        return [entry for entry in self.entries if entry.status == "missing"]

    @property
    def not_applicable(self) -> list[Entry]:
        """The entries whose probe does not apply to their network; ``message`` says why."""
        return [entry for entry in self.entries if entry.status == "not applicable"]

    def select(self, **wanted: Any) -> Results:
        """Return the entries with exactly these labels or swept values, as in ``select(dataset="fashion", tiles_per_class=1)``.

        Where no entry has a value, the result is empty; `sel` raises an error instead, and takes several values.

        Raises
        ------
        UnknownNameError
            For a name that is not a column.
        """
        self._check_columns(wanted)
        return self.with_entries(e for e in self.entries if all(self._value(e, name) == value for name, value in wanted.items()))

    def sel(self, **wanted: Any) -> Results:
        """Return the part of the results that is asked for, as in ``sel(network="trained", seed=[0, 1], metric="accuracy")``.

        Parameters
        ----------
        **wanted
            By the name of a column, ``dataset``, ``network``, ``probe``, ``seed``, ``status``, ``metric`` or a swept setting: a
            value, or a list; each entry has one of them. Text may be a pattern such as ``"mcc.*"``. With ``metric`` only these
            metrics are kept, and the entries that have one.

        Returns
        -------
        Results

        Raises
        ------
        UnknownNameError
            For a name that is no column, or a value that no entry has; the message names the nearest.
        """
        metric = wanted.pop("metric", None)
        self._check_columns(wanted, "metric")
        entries = self.entries
        for name, value in wanted.items():
            known = list(dict.fromkeys(map(_hashable, (self._value(entry, name) for entry in self.entries))))
            chosen = _chosen(name, value, known)
            entries = [entry for entry in entries if _hashable(self._value(entry, name)) in chosen]
        if metric is not None:
            chosen = _chosen("metric", metric, list(dict.fromkeys(m for entry in self.entries for m in entry.metrics)))
            kept = [{m: v for m, v in entry.metrics.items() if m in chosen} for entry in entries]
            entries = [replace(entry, metrics=metrics) for entry, metrics in zip(entries, kept, strict=True) if metrics]
        return self.with_entries(entries)

    def _check_columns(self, names: Iterable[str], *more: str) -> None:
        known = ("dataset", "network", "probe", "seed", "status", *more, *self.columns)
        for name in names:
            if name not in known:
                raise UnknownNameError(f"column {name!r} is unknown{did_you_mean(name, known)}")

    def _value(self, entry: Entry, column: str) -> Any:
        return entry.swept.get(column) if column in self.columns else getattr(entry, column)

    def with_entries(self, entries: Iterable[Entry]) -> Results:
        """Return results of other entries, with the same store, suite and plug-ins."""
        return Results(
            entries,
            self.store,
            name=self.name,
            description=self.description,
            columns=self.columns,
            report=self.report,
            registry=self.registry,
            source=self.source,
        )

    def values(self, metric: str) -> list[float]:
        """The values of a metric over all entries that have it, in order."""
        return [entry.metrics[metric] for entry in self.entries if metric in entry.metrics]

    def meanings(self, probe: str) -> dict[str, MetricInfo]:
        """Return what the metrics of a probe mean, by the first part of their names, from its first result on each network.

        A result whose file is gone is passed over: its metrics are in the index, and their meanings are not.
        """
        info: dict[str, MetricInfo] = {}
        seen = set()
        for entry in self.entries:
            if entry.probe == probe and entry.status == "ok" and entry.network not in seen:
                seen.add(entry.network)
                try:
                    info |= self.load(entry).info
                except LookupError:
                    continue
        return info

    def compare(self, column: str, *, reference: str | None = None, metrics: Sequence[str] | str | None = None) -> pd.DataFrame:
        """Return paired differences between networks, or the values of another column, with intervals over the seeds.

        Parameters
        ----------
        column : str
            What is compared: "network", "dataset", "probe", or a swept setting. A network whose settings are swept is compared as
            one for each value, ``"trained[filters=4]"``. All else is equal in a pair: data set, probe, settings and seed.
        reference : str, optional
            With which all others are compared; by default each with each.
        metrics : sequence of str, optional
            Names of metrics, or patterns such as ``"mcc.*"``; by default all but controls and ends of intervals.

        Returns
        -------
        DataFrame
            A row for each pair and metric: what both share (data set, probe, …), ``metric``, ``first``, ``second``, the mean over
            the seeds of first − second as ``difference`` with its interval from ``low`` to ``high``, its p-values ``p`` and
            ``p_corrected``, the number of ``seeds``, and as ``direction`` "higher", "lower" or "not shown to differ". Interval,
            ``p_corrected`` and direction are corrected for the number of rows by Holm's method; see `tmi.statistics.corrected`.
            Pairs with fewer than two common seeds have no row. Values that differ by a millionth or less count as equal.

        Raises
        ------
        UnknownNameError
            For an unknown column, or a reference or metric that no result has.
        InputError
            If no two have a metric in common on the same data, or they have fewer than two seeds in common.
        """
        from .comparison import compare

        return compare(self.rows(), self.columns, column, reference, metrics)

    def load(self, entry: Entry) -> ProbeResult:
        """Return the whole result of an entry, arrays included.

        Raises
        ------
        UnknownNameError
            If there is none: the cell failed, or its file is gone.
        """
        if entry._result is not None:
            return entry._result
        result = self.store.load(entry.key) if self.store is not None and entry.key else None
        if result is None:
            stored = entry.status in ("ok", "not applicable")
            why = "its file is gone or was damaged; run the suite again" if stored else entry.message or entry.status
            raise UnknownNameError(f"{entry}: there is no result ({why})")
        return result

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping a metric, and one for a cell without metrics: what ``--json`` writes and `to_frame` holds.

        Returns
        -------
        list of dict
            Columns: dataset, network, probe, seed, the swept settings, metric, value, status, key, message.
        """
        rows = []
        for entry in self.entries:
            head = {"dataset": entry.dataset, "network": entry.network, "probe": entry.probe, "seed": entry.seed}
            head |= {column: entry.swept.get(column) for column in self.columns}
            tail = {"status": entry.status, "key": entry.key, "message": entry.message}
            metrics: Mapping[str, float | None] = entry.metrics or {"": None}
            rows += [head | {"metric": name or None, "value": value} | tail for name, value in metrics.items()]
        return rows

    def to_frame(self) -> pd.DataFrame:
        """Return `rows` as a `pandas.DataFrame`; whole numbers stay whole where a column has gaps."""
        import pandas as pd

        columns = ["dataset", "network", "probe", "seed", *self.columns, "metric", "value", "status", "key", "message"]
        frame = pd.DataFrame(self.rows(), columns=columns)
        return frame.astype(dict.fromkeys(self.columns, "object")).astype(
            {c: "Int64" for c in self.columns if all(v is None or type(v) is int for v in self._swept(c))}
        )

    def to_xarray(self) -> xarray.Dataset:
        """Return the metrics as an `xarray.Dataset`, a variable for each metric.

        Returns
        -------
        xarray.Dataset
            Each variable, float64, has the axes ``dataset``, ``network``, the swept settings, and ``seed``; NaN where a cell has
            no value. A metric that several probes have is named ``PROBE.METRIC``. The attributes of a variable are ``probe``,
            ``metric`` and, as the probe declares them, ``long_name``, ``units``, ``better``, ``low`` and ``high``. Where a table
            does not sweep a setting its cells have the label NaN along that axis (an empty text for a setting that is text).

        Raises
        ------
        ImportError
            If xarray is not installed (``pip install "tmi-interp[xarray]"``).
        InputError
            If it would hold more than 100 million numbers; `sel` chooses a part.
        """
        from .arrays import to_xarray

        return to_xarray(self)

    def plot(self, metric: str | None = None, x: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw a metric on ``ax``, or on the axes of a new figure; return the axes.

        Points are means over the seeds, with 95 % intervals (`tmi.statistics.over_seeds`). Each combination of the columns that
        differ is a curve; at most 8 are drawn, and `sel` chooses others.

        Parameters
        ----------
        metric : str, optional
            By default the first one.
        x : str, optional
            The column along the horizontal axis: "dataset", "network", "probe" or a swept setting; by default the swept setting
            with most numbers, else "network".
        ax : Axes, optional

        Raises
        ------
        UnknownNameError
            For an unknown metric or column.
        InputError
            If there is no metric.
        """
        from tmi.views.result_plots import results

        return results(self, metric, x, ax)

    def _swept(self, column: str) -> list[Any]:
        return [entry.swept.get(column) for entry in self.entries]

    def to_json(self, path: str | Path) -> None:
        """Write `rows` as a JSON list of objects."""
        text = json.dumps(self.rows(), indent=1, ensure_ascii=False) + "\n"
        absolute(path).write_text(text, encoding="utf-8", errors="backslashreplace")


def _hashable(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else repr(value)


def _chosen(column: str, wanted: Any, known: Sequence[Any]) -> list[Any]:
    """Return the known values that are wanted, or that a wanted pattern matches; an error for one that chooses none."""
    chosen: list[Any] = []
    for value in wanted if isinstance(wanted, list | tuple | set | range) else [wanted]:
        value = _hashable(value)
        equal = [one for one in known if one == value]
        matching = [one for one in known if isinstance(value, str) and isinstance(one, str) and fnmatchcase(one, value)]
        if not equal and not matching:
            texts = [str(one) for one in known]
            same = [one for one, text in zip(known, texts, strict=True) if text == value]  # a number that was given as text
            hint = f"; did you mean {same[0]!r}?" if same else did_you_mean(value, texts)
            raise UnknownNameError(f"{column}: no result has {value!r}{hint}")
        chosen += equal or matching
    return chosen
