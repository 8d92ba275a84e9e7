"""Every byte flipped, every cut, files missing and foreign: damage is noticed, and no wrong number is read."""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tmi.stages import Stage
from tmi.store.index import NAME
from tmi.store.store import FOLDERS, Store

from . import toys
from .rows import Part, Row, in_a_child, scratch

_BLOCK = 64


class Victim:
    """One file, and how to read it: whether what comes back is nothing, or what was there.

    Parameters
    ----------
    path : Path
    read : callable
        Gives ``"damaged"``, ``"unchanged"``, or what is wrong.
    """

    def __init__(self, path: Path, read: Callable[[], str]) -> None:
        self.path, self.read = path, read
        self.data = path.read_bytes()

    def put(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(data)

    def try_all(self, changed: Iterator[tuple[str, bytes]]) -> tuple[int, int, list[str]]:
        """Return how many changes were tried, how many of them were noticed, and what was read wrongly."""
        tried = noticed = 0
        wrong = []
        for what, data in changed:
            self.put(data)
            tried += 1
            try:
                seen = self.read()
            except Exception as error:
                seen = f"raises {type(error).__name__}: {error}"
            noticed += seen == "damaged"
            if seen not in ("damaged", "unchanged"):
                wrong.append(f"{what}: {seen}")
        self.put(self.data)
        return tried, noticed, wrong


def flips(data: bytes, places: list[int], rng: random.Random) -> Iterator[tuple[str, bytes]]:
    for place in places:
        changed = bytearray(data)
        changed[place] ^= rng.randint(1, 255)
        yield f"byte {place}", bytes(changed)


def cuts(data: bytes) -> Iterator[tuple[str, bytes]]:
    for length in range(0, len(data), _BLOCK):
        yield f"cut to {length}", data[:length]
    yield "a byte more", data + b"\0"
    yield "a block of zeros at the end", data[:-_BLOCK] + bytes(_BLOCK)


def victims(folder: Path) -> dict[str, Victim]:
    """Make a small store, and return one file of each kind in it."""
    import tmi

    suite = toys.suite(folder, scales=3)
    home = folder / "store"
    tmi.run(suite, home, threads=1)
    plan = toys.plan_of(suite)
    planned = plan[0]
    store = Store(home)
    data_key, network_key, key = planned.dataset_key or "", planned.network_key or "", planned.key or ""
    data, data_record = store.load_dataset(data_key) or (None, None)
    assert data is not None
    network = store.load_network(network_key)
    assert network is not None
    assert network[0] is not None
    result, stored = store.load(key), store.read(key)
    truth = store.read_all(p.key for p in plan if p.key)

    def read_result() -> str:
        found, seen = store.load(key), store.read(key)
        if found is None and seen is None:
            return "damaged"
        # A damaged file is set aside by the first reading, so that the second finds none.
        whole = found is not None and result is not None and toys.same(found, result) and seen == stored
        return "unchanged" if whole else "another result is read"

    def read_dataset() -> str:
        found = store.load_dataset(data_key)
        if found is None:
            return "damaged"
        from tmi.store.datasets import pack

        return "unchanged" if found[1] == data_record and _same_pack(pack(found[0]), pack(data)) else "another data set is read"

    def read_network() -> str:
        found = store.load_network(network_key)
        if found is None:
            return "damaged"
        return "unchanged" if found[1] == network[1] and _same_training(found[0], network[0]) else "other weights are read"

    def read_index() -> str:
        other = Store(home)
        found = other.read_all(p.key for p in plan if p.key)
        rows = other.index.read("dataset", {})
        if found != truth or rows:
            return "another result is read"
        return "damaged" if _was_remade(index.path, index.data) else "unchanged"

    index = Victim(home / NAME, read_index)
    return {
        "result": Victim(store.path(key), read_result),
        "data set": Victim(store.path(data_key, "dataset"), read_dataset),
        "network": Victim(store.path(network_key, "network"), read_network),
        "index": index,
    }


def _same_pack(one: Any, other: Any) -> bool:
    from tmi.store.roundtrip import same_bits

    names = list(one[1]) == list(other[1])
    return names and one[0] == other[0] and all(same_bits(a.values, other[1][n].values) for n, a in one[1].items())


def _same_training(one: Any, other: Any) -> bool:
    from tmi.store.roundtrip import same_bits

    pairs = [(one.weights, other.weights), (one.history, other.history)]
    return all(list(a) == list(b) and all(same_bits(a[name], b[name]) for name in a) for a, b in pairs)


def _was_remade(path: Path, data: bytes) -> bool:
    return not path.exists() or len(path.read_bytes()) != len(data)


def damage(quick: bool, part: Part) -> None:
    rng = random.Random(7)
    with scratch() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for each damage
        for name, victim in victims(folder).items():
            size = len(victim.data)
            few = 300 if name == "index" else 1000
            chosen = list(range(size)) if not quick or size <= few else sorted(rng.sample(range(size), few))
            tried, noticed, wrong = victim.try_all(flips(victim.data, chosen, rng))
            every = "every byte" if len(chosen) == size else f"{len(chosen):,} of {size:,} bytes"
            found = f"{every} of {size:,}" if len(chosen) == size else every
            more = "" if name == "index" else f": {noticed:,} noticed, {tried - noticed:,} read unchanged"
            right = "; all answers right" if name == "index" else ""
            part.none_of(f"{name}: a byte flipped is detected, or nothing changes", wrong, found + more + right)
            tried, noticed, wrong = victim.try_all(cuts(victim.data))
            seen = "all answers right" if name == "index" else f"{noticed:,} noticed"
            part.none_of(f"{name}: cut at every block of {_BLOCK} bytes, likewise", wrong, f"{tried:,} cuts: {seen}")
            shutil.rmtree(folder / "store" / "damaged", ignore_errors=True)


Change = Callable[[Path, Path, str], None]


def _instead(make: Callable[[Path], object]) -> Change:
    def change(store: Path, result: Path, key: str) -> None:
        result.unlink()
        make(result)

    return change


def _beside(name: str, data: bytes = b"foreign", *, compute: bool = False) -> Change:
    def change(store: Path, result: Path, key: str) -> None:
        if compute:  # only then does it matter
            result.unlink()
        path = store / name.replace("KEY", key)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return change


def _without(name: str) -> Change:
    def change(store: Path, result: Path, key: str) -> None:
        path = store / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return change


def _folder_instead_of(name: str, *, compute: bool = False) -> Change:
    def change(store: Path, result: Path, key: str) -> None:
        if compute:
            result.unlink()
        path = store / name.replace("KEY", key)
        path.unlink(missing_ok=True)
        (path / "inside").mkdir(parents=True)

    return change


def _moved(store: Path, result: Path, key: str) -> None:
    """A result under the name of another one."""
    others = [path for path in store.glob("results/??/*.h5") if path != result]
    result.write_bytes(others[0].read_bytes())


FOREIGN: dict[str, Change] = {
    "no index": _without(NAME),
    "no results": _without(FOLDERS[Stage.PROBE]),
    "no data sets": _without(FOLDERS[Stage.DATASET]),
    "no networks": _without(FOLDERS[Stage.NETWORK]),
    "no leases": _without("leases"),
    "one result gone": _instead(lambda path: None),
    "an empty file": _instead(Path.touch),
    "a text file": _instead(lambda path: path.write_text("no HDF5")),
    "a folder in its place": _instead(Path.mkdir),
    "a pipe in its place": _instead(os.mkfifo),
    "a dangling link": _instead(lambda path: path.symlink_to("/nowhere/at/all")),
    "a link to /dev/zero": _instead(lambda path: path.symlink_to("/dev/zero")),
    "another result's file": _moved,
    "foreign files beside": _beside("results/README"),
    "a foreign folder": _beside("results/zz/KEY.h5"),
    "a foreign file in the store": _beside("notes.txt"),
    "a key in capitals": _beside("results/AA/notakey.h5"),
    "a foreign temporary file": _beside("results/.x.tmp"),
    "an empty lease": _beside("leases/KEY", b"", compute=True),
    "a foreign lease": _beside("leases/KEY", b"\xff\xfe", compute=True),
    "a folder in the leases": _folder_instead_of("leases/" + "a" * 64),
    "a folder for a lease": _folder_instead_of("leases/KEY", compute=True),
    "a failure that is none": _beside("failures/KE/KEY.json", b"{}", compute=True),
    "a file in place of the failures": _beside("failures"),
    "a file in place of the damaged": _beside("damaged"),
    "a text file as index": _beside(NAME),
    "a folder as index": _folder_instead_of(NAME),
}


def foreign(quick: bool, part: Part) -> None:
    """Change the folder, run again, and see that all is as it was."""
    asked = "missing and foreign files and folders are harmless"
    with scratch() as folder, part.step(asked) as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tmi

        suite = toys.suite(folder, scales=3)
        keys = [p.key or "" for p in toys.plan_of(suite)]
        truth = folder / "truth"
        tmi.run(suite, truth, threads=1)
        for number, (name, change) in enumerate(FOREIGN.items()):
            store = folder / f"store{number}"
            shutil.copytree(truth, store)
            change(store, Store(store).path(keys[0]), keys[0])
            said += [f"{name}: {problem}" for problem in in_a_child(lambda store=store: _run_twice(suite, store, truth, keys))]
        said.append(f"={len(FOREIGN)} kinds: each run gives the same results, bit for bit")


def _run_twice(suite: Path, store: Path, truth: Path, keys: list[str]) -> list[str]:
    import tmi
    from tmi.runs.runner import load_results

    problems = []
    for _ in range(2):
        results = tmi.run(suite, store, threads=1)
        problems += [entry.message for entry in results if entry.status != "ok"]
    problems += [str(entry) for entry in load_results(suite, store) if entry.status != "ok"]
    return problems + toys.differences(store, truth, keys)


def rows(quick: bool) -> list[Row]:
    """Flip, cut, remove and add."""
    import torch

    torch.set_num_threads(1)
    part = Part("bytes")
    foreign(quick, part)
    damage(quick, part)
    return part.rows
