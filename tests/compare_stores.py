"""Compares the results of two stores cell by cell, bit for bit: ``python -m tests.compare_stores OLD NEW``.

Keys differ wherever code was moved or changed, so results are paired by what made them: data set, network and probe with their
settings, and the seed. Prints what is only in one store, and each metric, array or note that differs; exit code 1 if any
does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tmi.hashing import canonical
from tmi.probing.result import LabelledArray
from tmi.store.files import read_sealed
from tmi.store.hdf5 import from_bytes
from tmi.store.roundtrip import same_bits

Contents = tuple[dict[str, Any], dict[str, LabelledArray]]
_SHOWN = 20


def read(folder: Path) -> dict[str, Contents]:
    """Return the results of a store by what made them."""
    results = {}
    for path in sorted(folder.glob("results/??/*.h5")):
        header, arrays = from_bytes(read_sealed(path))
        record = header["record"]
        stages = [[record[stage]["name"], record[stage]["params"]] for stage in ("dataset", "network", "probe")]
        results[canonical([*stages, record["seed"]])] = header, arrays
    return results


def differences(old: Contents, new: Contents) -> Iterator[str]:
    """Yield what differs between two results: metrics, other arrays, notes."""
    metrics = [dict(zip(arrays["metric"].values.tolist(), arrays["metrics"].values, strict=True)) for _, arrays in (old, new)]
    for name in dict.fromkeys((*metrics[0], *metrics[1])):
        if name not in metrics[0] or name not in metrics[1]:
            yield f"metric {name}: only in the {'new' if name in metrics[1] else 'old'} store"
        elif not same_bits(metrics[0][name], metrics[1][name]):
            yield f"metric {name}: {metrics[0][name]!r} before, {metrics[1][name]!r} now"
    for name in sorted((old[1].keys() | new[1].keys()) - {"metric", "metrics"}):
        if name not in old[1] or name not in new[1]:
            yield f"array {name}: only in the {'new' if name in new[1] else 'old'} store"
        elif old[1][name].dims != new[1][name].dims or not same_bits(old[1][name].values, new[1][name].values):
            yield f"array {name}: differs"
    if old[0].get("notes") != new[0].get("notes"):
        yield f"notes: {old[0].get('notes')} before, {new[0].get('notes')} now"


def main(old_folder: str, new_folder: str) -> int:
    """Print the comparison, and return the exit code."""
    old, new = read(Path(old_folder)), read(Path(new_folder))
    same, shown, differing = 0, 0, 0
    for cell in sorted(old.keys() | new.keys()):
        if cell not in old or cell not in new:
            lines = [f"only in the {'new' if cell in new else 'old'} store"]
        else:
            lines = list(differences(old[cell], new[cell]))
        if not lines:
            same += 1
            continue
        differing += 1
        if shown < _SHOWN:
            shown += 1
            print(cell, *lines, sep="\n  ")
    print(f"{len(old)} and {len(new)} results: {same} equal bit for bit, {differing} differ")
    return int(differing > 0 or not same)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
