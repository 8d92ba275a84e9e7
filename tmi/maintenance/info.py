"""What a store holds, in a table: told from names, sizes and the index, without opening a file."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tmi.runtime.formatting import counted, shown, size_text, time_text
from tmi.stages import Stage
from tmi.store.format import VERSION
from tmi.store.store import FOLDERS, Store

from .inventory import Inventory, take

_SHOWN = 10  # strange things that are named one by one


def info(store: Store) -> dict[str, Any]:
    """Return what a store holds, as JSON.

    Parameters
    ----------
    store : Store

    Returns
    -------
    dict
        ``folder``; ``layout``, the version that this tmi writes; ``size`` in bytes; ``kinds``, for each kind ``count``, ``size``,
        ``seconds`` of the work that made them, ``oldest`` and ``newest`` in UTC; ``failures``; ``damaged`` with ``count`` and
        ``size``; ``temporary`` and ``stale``, files and claims left behind; ``running``, what is being computed now; ``index``
        with ``size``, ``rows``, ``unknown`` (files that it does not know), ``gone`` (rows of files that are gone or changed) and
        ``trouble``; ``versions`` of libraries, and how many results each made; ``strange`` and ``unreadable``, with the reason
        for each.

    Raises
    ------
    StoreError
        If there is no store.
    """
    there = take(store)
    kinds = {}
    versions: dict[str, Counter[str]] = {}
    known = 0
    trouble = ""
    for kind in FOLDERS:
        found = there.of(kind)
        rows = store.index.read(kind, {one.key: one.stamp for one in found}) if found else {}
        trouble = trouble or store.index.trouble
        known += len(rows)
        times = [one.written for one in found]
        kinds[kind.product] = {
            "count": len(found),
            "size": sum(one.size for one in found),
            "seconds": round(sum(row.seconds for row in rows.values()), 3),
            "oldest": time_text(min(times)) if times else None,
            "newest": time_text(max(times)) if times else None,
        }
        if kind == Stage.PROBE:
            for row in rows.values():
                for name, version in _versions(row.content).items():
                    versions.setdefault(name, Counter())[version] += 1
    total = sum(of.count for of in store.index.totals().values())
    return {
        "folder": str(store.folder),
        "layout": VERSION,
        "size": sum(one.size for one in (*there.files, *there.failures, *there.damaged)) + there.index_size,
        "kinds": kinds,
        "failures": len(there.failures),
        "damaged": {"count": len(there.damaged), "size": sum(one.size for one in there.damaged)},
        "temporary": len(there.temporary),
        "stale": len(there.stale),
        "running": _running(there),
        "index": {
            "size": there.index_size,
            "rows": total,
            "unknown": len(there.files) - known,
            "gone": max(0, total - known),
            "trouble": trouble or store.index.trouble,
        },
        "versions": {name: dict(sorted(counts.items())) for name, counts in sorted(versions.items())},
        "strange": {shown(one.path): one.why for one in there.strange},
        "unreadable": {shown(one.path): one.why for one in there.unreadable},
    }


def lines(of: dict[str, Any]) -> list[str]:
    """Write `info` for people."""
    from tmi.runtime.formatting import spell

    made = [f"store {shown(of['folder'])}: {size_text(of['size'])}, layout {of['layout']}"]
    table = [("", "files", "size", "work", "oldest", "newest")]
    for kind, folder in FOLDERS.items():
        one = of["kinds"][kind.product]
        work = spell(one["seconds"]) if one["count"] else "-"
        table.append((folder, f"{one['count']:,}", size_text(one["size"]), work, one["oldest"] or "-", one["newest"] or "-"))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [
            cell.ljust(width) if i in (0, 4, 5) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        made.append(("  " + "  ".join(cells)).rstrip())
    made.append(f"failures: {of['failures']:,}")
    damaged = of["damaged"]
    made.append(f"damaged and set aside: {damaged['count']:,}" + (f", {size_text(damaged['size'])}" if damaged["count"] else ""))
    left = of["temporary"] + of["stale"]
    made.append(f"left behind: {left:,}" + ("; tmi store verify --repair removes it, and so does the next run" if left else ""))
    made.append(f"being computed now: {len(of['running'])}")
    made += [
        f"  {one['key'][:12]}… on {shown(one['host'])}, process {one['pid']}, sign of life {one['seen']}" for one in of["running"]
    ]
    made.append(_index_line(of["index"], sum(kind["count"] for kind in of["kinds"].values())))
    if of["versions"]:
        made.append("results by version:")
        width = max(map(len, of["versions"]))
        for name, counts in of["versions"].items():
            made.append(f"  {shown(name).ljust(width)}  " + ", ".join(f"{shown(v)} ({n:,})" for v, n in counts.items()))
    for name in ("strange", "unreadable"):
        made += strange_lines(of[name])
    return made


def strange_lines(found: dict[str, str]) -> list[str]:
    """Name what is not of a store, the first few one by one."""
    made = [f"{name}: {why}" for name, why in list(found.items())[:_SHOWN]]
    return made + ([f"… and {len(found) - _SHOWN:,} more such"] if len(found) > _SHOWN else [])


def _index_line(index: dict[str, Any], count: int) -> str:
    if index["trouble"]:
        return f"index: {shown(index['trouble'])}; tmi store verify --repair makes it anew"
    apart = []
    if index["unknown"]:
        apart.append(f"{counted(index['unknown'], 'file')} not in it, which will be read")
    if index["gone"]:
        apart.append(f"{counted(index['gone'], 'row')} of files that are gone or changed")
    state = "; ".join(apart) if apart else "in step with the files" if count else "nothing in it"
    return f"index: {state}, {size_text(index['size'])}"


def _running(there: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "key": one.key,
            "host": one.claim.host,
            "pid": one.claim.pid,
            "run": one.claim.run,
            "attempt": len(one.claim.ended) + 1,
            "seen": time_text(one.seen),
        }
        for one in there.running
    ]


def _versions(content: str) -> dict[str, str]:
    try:
        record = json.loads(content)["record"]
        return {"tmi": str(record["tmi"]), **{str(name): str(version) for name, version in record["versions"].items()}}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
