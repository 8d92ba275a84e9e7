"""The tables of ``tmi results`` as text for a terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tmi.report.aggregate import Group

from .tables import Cell, Table

WIDTH = 100
"""Columns of text, where the terminal says nothing else."""

_KEY_WIDTH = 32  # of the longest key column
_NETWORK_WIDTH = 24  # of the name of a network
_STATISTICS = ("mean", "low", "high", "std", "seeds")


def as_text(tables: Sequence[Table], width: int = WIDTH) -> str:
    """Return tables for people: numbers of a metric with equal decimals, networks side by side as far as the width allows."""
    return "\n".join([*("\n".join([table.title, *_text(table, width), ""]) for table in tables), caption(tables), ""])


def as_markdown(tables: Sequence[Table]) -> str:
    """Return tables as GitHub-flavoured Markdown, with all names in full."""
    parts = []
    for table in tables:
        head, body = [*table.keys, *table.networks], _cells(table)
        rows = [[*map(_key, row.keys), *cells] for row, cells in zip(table.rows, body, strict=True)]
        lines = [f"**{_escaped(table.title)}**", "", _line(head), "|" + "---|" * len(table.keys) + "--:|" * len(table.networks)]
        parts.append("\n".join([*lines, *map(_line, rows), ""]))
    return "\n".join([*parts, caption(tables), ""])


def as_csv(tables: Sequence[Table]) -> str:
    """Return tables as one CSV table with a row for each mean; see `rows`."""
    text = io.StringIO()
    values = rows(tables)
    writer = csv.DictWriter(text, list(values[0]) if values else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return text.getvalue()


def as_json(tables: Sequence[Table]) -> str:
    """Return tables as a JSON list with an object for each mean; see `rows`."""
    return json.dumps(rows(tables), indent=1) + "\n"


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "table": as_text,
    "md": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return an object for each mean.

    Returns
    -------
    list of dict
        Columns: probe, dataset, network, the swept settings, metric, mean, ``low`` and ``high``, the ends of the 95 % interval of
        the mean over the seeds by Student's t, ``std``, the standard deviation over the seeds (n − 1), and ``seeds``, their
        number n. None for an interval and a deviation of one seed. A swept setting with the name of another column is
        ``setting.NAME``.
    """
    swept = list(dict.fromkeys(name for table in tables for name in table.keys if name not in ("dataset", "metric")))
    found = []
    for table in tables:
        for row in table.rows:
            keys = dict(zip(table.keys, row.keys, strict=True))
            for group in row.cells.values():
                if not isinstance(group, Group):
                    continue
                half = group.half_width
                found.append(
                    {"probe": group.probe, "dataset": group.dataset, "network": group.network}
                    | {f"setting.{name}" if name in _STATISTICS else name: keys.get(name) for name in swept}
                    | {"metric": group.metric, "mean": group.mean}
                    | {"low": None if half is None else group.mean - half, "high": None if half is None else group.mean + half}
                    | {"std": group.std, "seeds": len(group.values)}
                )
    return found


def caption(tables: Sequence[Table]) -> str:
    """Say what the numbers are: the mean, which interval, and what a number in brackets counts."""
    counts = [table.counts for table in tables if table.counts]
    if not counts:
        return "no values"
    if max(map(max, counts)) == 1:
        return "Values of one seed, which have no interval."
    fewer = "; (n): of n seeds" if any(min(each) < max(each) for each in counts) else ""
    return f"Mean over the seeds ± half the width of its 95 % interval by Student's t{fewer}."


def _text(table: Table, width: int) -> list[str]:
    """Return the lines of a table, with as many networks in a block as the width holds."""
    names = _shortened(table.networks, _NETWORK_WIDTH)
    cells = _cells(table)
    columns = [_justified(name, [row[position] for row in cells], str.rjust) for position, name in enumerate(names)]
    limit = _KEY_WIDTH if len(table.keys) == 1 else _KEY_WIDTH * 2 // max(len(table.keys), 1)
    keys = [
        _justified(name, _shortened([_key(row.keys[position]) for row in table.rows], limit), str.ljust)
        for position, name in enumerate(table.keys)
    ]
    left = sum(len(column[0]) + 2 for column in keys)
    lines: list[str] = []
    while columns:
        count, used = 0, left
        while count < len(columns) and (count == 0 or used + len(columns[count][0]) <= width):
            used += len(columns[count][0]) + 2
            count += 1
        block, columns = columns[:count], columns[count:]
        lines += [""] if lines else []
        lines += ["  ".join(parts).rstrip() for parts in zip(*keys, *block, strict=True)]
    return lines


def _justified(head: str, values: Sequence[str], justify: Callable[[str, int], str]) -> list[str]:
    width = max(map(len, (head, *values)))
    return [justify(text, width) for text in (head, *values)]


def _shortened(names: Sequence[str], limit: int) -> list[str]:
    """Cut the middle out of long names, so that different ones stay different."""
    distinct = len(set(names))
    while True:
        short = [name if len(name) <= limit else f"{name[: (limit - 1) // 2]}…{name[-(limit // 2) :]}" for name in names]
        if len(set(short)) == distinct:
            return short
        limit += 4


def _cells(table: Table) -> list[list[str]]:
    """Return the texts of the values, justified among those with the same decimals, so that decimal points are aligned."""
    most = max(table.counts, default=0)
    written = [[_parts(row.cells.get(network), row_scale, most) for network in table.networks]
               for row, row_scale in zip(table.rows, _scales(table), strict=True)]  # fmt: skip
    for position in range(len(table.networks)):
        columns = [row[position] for row in written if not isinstance(row[position], str)]
        widths = [max((len(parts[i]) for parts in columns), default=0) for i in range(3)]
        for row in written:
            parts = row[position]
            if not isinstance(parts, str):
                row[position] = parts[0].rjust(widths[0]) + parts[1].rjust(widths[1]) + parts[2].ljust(widths[2])
    return written  # type: ignore[return-value]


def _parts(cell: Cell | None, scale: Callable[[float], str], most: int) -> tuple[str, str, str] | str:
    if not isinstance(cell, Group):
        return cell or ""
    half, count = cell.half_width, len(cell.values)
    mean, spread = scale(cell.mean), "" if half is None else f" ± {scale(half)}"
    if cell.mean and not _has_digit(mean) and not _has_digit(spread):  # 0.000 would read as exactly 0
        mean = f"{cell.mean:.1e}"
    return mean, spread, f" ({count})" if count < most else ""


def _has_digit(text: str) -> bool:
    """Whether a number that is written is not 0."""
    return any(digit in text for digit in "123456789")


def _scales(table: Table) -> Iterable[Callable[[float], str]]:
    """Return for each row how its numbers are written: those of one metric alike."""
    by_metric: dict[str, list[Group]] = {}
    for row in table.rows:
        by_metric.setdefault(row.metric, []).extend(cell for cell in row.cells.values() if isinstance(cell, Group))
    scales = {metric: _scale(cells) for metric, cells in by_metric.items()}
    return [scales[row.metric] for row in table.rows]


def _scale(cells: Sequence[Group]) -> Callable[[float], str]:
    """Choose the decimals that give the largest mean three or four significant digits."""
    top = max((abs(cell.mean) for cell in cells), default=0.0)
    if all(value.is_integer() for cell in cells for value in cell.values) and all(not cell.std for cell in cells) and top < 1e9:
        return lambda value: f"{value:,.0f}"
    if not 1e-3 <= top < 1e6:
        return lambda value: f"{value:.2e}"
    decimals = max(0, 3 - math.ceil(math.log10(top)))
    return lambda value: f"{value:z,.{decimals}f}"


def _key(value: Any) -> str:
    return "–" if value is None else str(value)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(" ".join(cell.split())) for cell in cells) + " |"
