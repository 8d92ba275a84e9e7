"""What a store holds, in a table: from names, sizes and the index, without opening a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tmi.runtime.formatting import format_count, format_duration, format_size, format_time, printable
from tmi.runtime.paths import shown
from tmi.stages import Stage
from tmi.store.format import VERSION
from tmi.store.store import FOLDERS, Store

from .inventory import Inventory, take_inventory

_MOST_STRANGE = 10  # the others are only counted


def info(store: Store) -> dict[str, Any]:
    """Return what a store holds, as JSON.

    Parameters
    ----------
    store : Store

    Returns
    -------
    dict
        ``folder``; ``layout``, the version that this tmi writes; ``size`` in bytes; ``kinds``, for each kind ``count``, ``size``,
        ``seconds`` that computing them took, ``oldest`` and ``newest`` in UTC; ``failures``; ``damaged`` with ``count`` and
        ``size``; ``temporary`` and ``stale``, files and leases left behind; ``running``, what is being computed now; ``index``
        with ``size``, ``rows``, ``unknown`` (files without a row), ``gone`` (rows of files that are gone or changed) and
        ``trouble``; ``versions`` of libraries, and how many results each computed; ``strange`` and ``unreadable``, with the
        reason for each.

    Raises
    ------
    StoreError
        If there is no store.
    """
    inventory = take_inventory(store)
    kinds = {}
    versions: dict[str, Counter[str]] = {}
    known = 0
    trouble = ""
    for kind in FOLDERS:
        files = inventory.of_kind(kind).values()
        rows = store.index.read(kind, {file.key: file.stamp for file in files}) if files else {}
        trouble = trouble or store.index.trouble
        known += len(rows)
        times = [file.written for file in files]
        kinds[kind.product] = {
            "count": len(files),
            "size": sum(file.size for file in files),
            "seconds": round(sum(row.seconds for row in rows.values()), 3),
            "oldest": format_time(min(times)) if times else None,
            "newest": format_time(max(times)) if times else None,
        }
        if kind == Stage.PROBE:
            for row in rows.values():
                for name, version in _versions(row.content).items():
                    versions.setdefault(name, Counter())[version] += 1
    total = store.index.count()
    return {
        "folder": str(store.folder),
        "layout": VERSION,
        "size": sum(file.size for file in (*inventory.files, *inventory.failures, *inventory.damaged))
        + inventory.index_size
        + inventory.other_size,
        "kinds": kinds,
        "failures": len(inventory.failures),
        "damaged": {"count": len(inventory.damaged), "size": sum(file.size for file in inventory.damaged)},
        "temporary": len(inventory.temporary),
        "stale": len(inventory.stale),
        "running": _running(inventory),
        "index": {
            "size": inventory.index_size,
            "rows": total,
            "unknown": len(inventory.files) - known,
            "gone": max(0, total - known),
            "trouble": trouble or store.index.trouble,
        },
        "versions": {name: dict(sorted(counts.items())) for name, counts in sorted(versions.items())},
        "strange": {printable(path.path): path.why for path in inventory.strange},
        "unreadable": {printable(path.path): path.why for path in inventory.unreadable},
    }


def lines(contents: Mapping[str, Any]) -> list[str]:
    """Write what `info` returns for people."""
    kinds, damaged = contents["kinds"], contents["damaged"]
    left_behind = contents["temporary"] + contents["stale"]
    return [
        f"store {printable(shown(contents['folder']))}: {format_size(contents['size'])}, layout {contents['layout']}",
        *_table(kinds),
        f"failures: {contents['failures']:,}",
        f"damaged and set aside: {damaged['count']:,}" + (f", {format_size(damaged['size'])}" if damaged["count"] else ""),
        f"left behind: {left_behind:,}"
        + ("; tmi store verify --repair removes it, and so does the next run" if left_behind else ""),
        f"being computed now: {len(contents['running'])}",
        *(
            f"  {lease['key'][:12]}… on {printable(lease['host'])}, process {lease['pid']}, sign of life {lease['seen']}"
            for lease in contents["running"]
        ),
        _index_line(contents["index"], sum(kind["count"] for kind in kinds.values())),
        *_version_lines(contents["versions"]),
        *strange_lines(contents["strange"]),
        *strange_lines(contents["unreadable"]),
    ]


def strange_lines(reasons: Mapping[str, str]) -> list[str]:
    """Write paths and the reason for each; beyond the first few only how many there are."""
    named = [f"{path}: {why}" for path, why in list(reasons.items())[:_MOST_STRANGE]]
    return named + ([f"… and {len(reasons) - _MOST_STRANGE:,} more such"] if len(reasons) > _MOST_STRANGE else [])


def _table(kinds: Mapping[str, Any]) -> list[str]:
    rows = [("", "files", "size", "work", "oldest", "newest")]
    for stage, folder in FOLDERS.items():
        kind = kinds[stage.product]
        work = format_duration(kind["seconds"]) if kind["count"] else "-"
        rows.append((folder, f"{kind['count']:,}", format_size(kind["size"]), work, kind["oldest"] or "-", kind["newest"] or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    template = "  " + "  ".join(f"{{:{align}{width}}}" for align, width in zip("<>>><<", widths, strict=True))
    return [template.format(*row).rstrip() for row in rows]


def _version_lines(versions: Mapping[str, Mapping[str, int]]) -> list[str]:
    width = max(map(len, versions), default=0)
    lines = [
        f"  {printable(name).ljust(width)}  " + ", ".join(f"{printable(version)} ({n:,})" for version, n in counts.items())
        for name, counts in versions.items()
    ]
    return ["results by version:", *lines] if lines else []


def _index_line(index: Mapping[str, Any], count: int) -> str:
    if index["trouble"]:
        return f"index: {printable(index['trouble'])}; tmi store verify --repair rebuilds it"
    differences = []
    if index["unknown"]:
        differences.append(f"{format_count(index['unknown'], 'file')} not in it, which will be read")
    if index["gone"]:
        differences.append(f"{format_count(index['gone'], 'row')} of files that are gone or changed")
    state = "; ".join(differences) or ("in step with the files" if count else "nothing in it")
    return f"index: {state}, {format_size(index['size'])}"


def _running(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "key": running.key,
            "host": running.lease.host,
            "pid": running.lease.pid,
            "run": running.lease.run,
            "attempt": len(running.lease.ended) + 1,
            "seen": format_time(running.seen),
        }
        for running in inventory.running
    ]


def _versions(content: str) -> dict[str, str]:
    try:
        record = json.loads(content)["record"]
        return {"tmi": str(record["tmi"]), **{str(name): str(version) for name, version in record["versions"].items()}}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
