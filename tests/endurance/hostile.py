"""Files made to do harm: nothing is unpickled, nothing in a result or a suite is run, nothing outside is read or written.

Every hostile file carries a right seal: who makes it can make that too. The tests beside the store try more of them.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import socket
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tmi.errors import StoreError, SuiteError, TmiError
from tmi.probing.result import LabelledArray
from tmi.stages import Stage
from tmi.store import files
from tmi.store.hdf5 import from_bytes, to_bytes
from tmi.store.index import NAME, Index, IndexRow
from tmi.store.store import Store

from . import toys
from .rows import Part, Row, in_a_child, scratch

_SECRET = b"a secret of the machine that is in no store"
_MEMORY = 4 * 2**30  # bytes that the process may take: more is refused, not given
_DEEP = "[" * 200_000
_RUNS = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork"}


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


class Ground:
    """A store of one run, and the places where harm would show.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "store"
        self.mark, self.secret = folder / "mark", folder / "secret"
        self.secret.write_bytes(_SECRET)
        with h5py.File(folder / "secret.h5", "w") as file:
            file["d"] = np.frombuffer(_SECRET, "i1")
        self.suite = toys.suite(folder, scales=2)
        self.plan = toys.plan_of(self.suite)
        self.store = Store(self.home)
        import tmi

        tmi.run(self.suite, self.store, threads=1)
        self.truth = folder / "truth"
        shutil.copytree(self.home, self.truth)

    @property
    def key(self) -> str:
        return self.plan[0].key or ""

    def fresh(self) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.truth, self.home)
        self.store = Store(self.home)

    def poison(self, change: Callable[[h5py.File], object]) -> None:
        """Change the HDF5 inside a result, and seal it again."""
        self.fresh()
        path = self.store.path(self.key)
        scratch = self.folder / "poisoned.h5"
        scratch.write_bytes(files.read_sealed(path))
        with h5py.File(scratch, "r+") as file:
            change(file)
        files.write_sealed(path, scratch.read_bytes())

    def unharmed(self) -> list[str]:
        problems = []
        if self.mark.exists():
            problems.append("code was run")
            self.mark.unlink()
        if self.secret.read_bytes() != _SECRET:
            problems.append("a file outside was written")
        return problems

    def survives(self) -> list[str]:
        """Run the suite again: everything must be right afterwards."""
        import tmi

        results = tmi.run(self.suite, self.home, threads=1)
        problems = [entry.message for entry in results if entry.status != "ok"]
        return problems + toys.differences(self.home, self.truth, [p.key for p in self.plan]) + self.unharmed()


@contextmanager
def audited() -> Iterator[list[str]]:
    """Collect what Python itself says it runs inside the block."""
    seen: list[str] = []
    on = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if on[0] and event in _RUNS:
            seen.append(f"{event} {str(arguments)[:80]}")

    sys.addaudithook(hook)  # for good: this process is a child that ends soon
    try:
        yield seen
    finally:
        on[0] = False


def _replace(name: str, **settings: Any) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file[name]
        made = file.create_dataset(name, **settings)
        for axis in range(made.ndim):
            made.dims[axis].label = f"axis{axis}"

    return change


def _instead(name: str, value: Callable[[h5py.File], Any]) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        made = value(file)
        del file[name]
        file[name] = made

    return change


def _bombs(file: h5py.File) -> None:
    """A hundred arrays of 100 MB each, all the same zeros."""
    first = file.create_dataset("a0", data=np.zeros(10**8, "i1"), compression="gzip", chunks=(10**7,))
    first.dims[0].label = "zeros"
    names = [f"a{number}" for number in range(100)]
    for name in names[1:]:
        file[name] = first
    _header(lambda header: header | {"arrays": [*header["arrays"], *names]})(file)


def _unknown_filter(file: h5py.File) -> None:
    del file["logits"]
    made = file.create_dataset("logits", (8, 2), "f4", chunks=(8, 2), compression=32_001, allow_unknown_filter=True)
    made.id.write_direct_chunk((0, 0), b"x" * 64)


def _virtual(other: Path) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((len(_SECRET),), "i1")
        layout[:] = h5py.VirtualSource(str(other), "d", (len(_SECRET),))
        del file["random"]
        file.create_virtual_dataset("random", layout)
        file["random"].dims[0].label = "value"

    return change


def _header(change: Callable[[dict[str, Any]], Any]) -> Callable[[h5py.File], object]:
    def apply(file: h5py.File) -> None:
        made = change(json.loads(file["header"].asstr()[()]))
        del file["header"]
        file["header"] = made if isinstance(made, str) else json.dumps(made)

    return apply


def hdf5(ground: Ground) -> dict[str, Callable[[h5py.File], object]]:
    bomb = pickle.dumps(Bomb(ground.mark))
    zipped = {"compression": "gzip", "chunks": (10**7,)}
    elsewhere = [(str(ground.secret), 0, len(_SECRET))]
    return {
        "a pickle as header": _replace("header", data=np.void(bomb)),
        "a pickle as array": _replace("logits", data=np.void(bomb)),
        "pickled words": _replace("logits", data=[base64.b64encode(bomb).decode()], dtype=h5py.string_dtype()),
        "references": _replace("logits", shape=(2,), dtype=h5py.ref_dtype),
        "a table": _replace("logits", data=np.zeros(3, [("a", int), ("b", float)])),
        "rows of any length": _replace("logits", shape=(2,), dtype=h5py.vlen_dtype(np.int32)),
        "external storage": _replace("random", shape=(len(_SECRET),), dtype="i1", external=elsewhere),
        "a link to another file": _instead("random", lambda file: h5py.ExternalLink(str(ground.folder / "secret.h5"), "d")),
        "a link to itself": _instead("random", lambda file: h5py.SoftLink("/random")),
        "a virtual array of another file": _virtual(ground.folder / "secret.h5"),
        "a filter that needs a plug-in": _unknown_filter,
        "an array of 8 PB": _replace("random", shape=(10**15,), dtype="f8", chunks=(10**6,)),
        "an array of 3 GB that is not there": _replace("random", shape=(4 * 10**8,), dtype="f8", chunks=(10**6,)),
        "a bomb of 600 MB of zeros, a thousand times its size": _replace("random", data=np.zeros(6 * 10**8, "i1"), **zipped),
        "many names of one bomb": _bombs,
        "a long word among many short ones": _replace("class", data=["x" * 10**6, *[""] * 10**5], dtype=h5py.string_dtype()),
        "a header that is nested without end": _header(lambda header: _DEEP),
        "a header of another version": _header(lambda header: header | {"version": "__import__('os')"}),
        "names that are paths": _header(lambda header: header | {"arrays": ["../../../secret", "/header"]}),
        "an array as group": _instead("random", lambda file: file.create_group("group")),
    }


def results(ground: Ground, part: Part) -> None:
    with part.step("hostile HDF5 files as results: no pickle, no code, no file outside, no memory without end") as said:
        kinds = hdf5(ground)
        for name, change in kinds.items():
            ground.poison(change)

            def attack() -> list[str]:
                import resource

                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                with warnings.catch_warnings(), audited() as ran:
                    warnings.simplefilter("ignore")
                    found = ground.store.load(ground.key)
                problems = list(ran)
                if found is not None and any(_SECRET[:9] in array.values.tobytes() for array in found.arrays.values()):
                    problems.append("read a file outside")
                # A compressed array may be 1032 times the size of its file, and no more of them fit.
                most = 1032 * files.stamp(ground.store.path(ground.key))[0] if found is not None else 0
                if found is not None and sum(array.values.nbytes for array in found.arrays.values()) > most:
                    problems.append("filled the memory")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if found is None:  # else it is a result, of numbers that its maker chose
                        problems += ground.survives()
                return problems + ground.unharmed()

            said += [f"{name}: {problem}" for problem in in_a_child(attack, 60)]
        said.append(f"={len(kinds)} kinds, none of them harmful; code: none, by Python's own audit")


def networks(ground: Ground, part: Part) -> None:
    bomb = base64.b64encode(pickle.dumps(Bomb(ground.mark))).decode()
    hostile: dict[str, Callable[[dict[str, Any]], Any]] = {
        "os.system": lambda h: h | {"trained": {"layer": "os.system", "command": f"touch {ground.mark}"}},
        "a pickle for weights": lambda h: h | {"trained": bomb},
        "weights of no module": lambda h: _with_weights(h, [["0.__class__", "weights.1.weight"]]),
        "weights of the class": lambda h: _with_weights(h, [["0.1.__init__.__globals__", "weights.1.weight"]]),
        "weights of another training": lambda h: _with_weights(h, [["7.1.weight", "weights.1.weight"]]),
        "weights in another file": lambda h: _with_weights(h, [["0.1.weight", "../../secret"]]),
        "the header for weights": lambda h: _with_weights(h, [["0.1.weight", "header"]]),
        "labels for weights": lambda h: _with_weights(h, [["0.1.weight", "out.1"]]),
        "names without end": lambda h: _with_weights(h, [["0." + "x" * 10**6, "weights.1.weight"]] * 10),
        "nested without end": lambda h: h | {"trained": json.loads("[" * 400 + "]" * 400)},
        "a record that is none": lambda h: h | {"record": [1]},
    }
    with part.step("hostile networks and data sets, likewise") as said:
        key, data_key = ground.plan[0].network_key or "", ground.plan[0].dataset_key or ""
        for name, change in hostile.items():
            ground.fresh()
            for kind, of in (("network", key), ("dataset", data_key)):
                path = ground.store.path(of, kind)
                header, arrays = from_bytes(files.read_sealed(path))
                if kind == "network":
                    header = change(header)
                elif name == "os.system":
                    header = header | {"paste": {"train": "__import__('os').system", "test": "os.system"}}
                else:
                    continue
                files.write_sealed(path, to_bytes(Stage(kind), header, dict[str, LabelledArray](arrays), compress=False))
            for path in ground.home.glob("results/??/*.h5"):
                path.unlink()

            def attack() -> list[str]:
                with warnings.catch_warnings(), audited() as ran:
                    warnings.simplefilter("ignore")
                    return ground.survives() + list(ran)

            said += [f"{name}: {problem}" for problem in in_a_child(attack, 60)]
        said.append(f"={len(hostile) + 1} kinds: set aside and made again, or refused; every result right")


def _with_weights(header: dict[str, Any], weights: list[list[str]]) -> dict[str, Any]:
    return header | {"trained": {"weights": weights, "history": []}}


def beside(ground: Ground, part: Part) -> None:
    """Leases, failures and the index: small files that are read without a seal, or with one that anybody can make."""
    lease = {"run": "r", "host": socket.gethostname(), "pid": 1, "ended": []}
    leases: dict[str, str] = {
        "nested without end": _DEEP,
        "no process": json.dumps(lease | {"pid": -1}),
        "an infinite process": json.dumps(lease).replace('"pid": 1', '"pid": 1e400'),
        "a huge process": json.dumps(lease | {"pid": 10**30}),
        "a list": "[1, 2]",
        "words for numbers": json.dumps(lease | {"ended": "__import__('os')"}),
    }
    with part.step("hostile leases and failures: harmless") as said:
        for name, text in leases.items():
            said += [f"lease, {name}: {problem}" for problem in _small(ground, "leases/" + ground.key, text)]
            failure = f"failures/{ground.key[:2]}/{ground.key}.json"
            said += [f"failure, {name}: {problem}" for problem in _small(ground, failure, text)]
        said += [f"a lease of the future: {p}" for p in _small(ground, "leases/" + ground.key, json.dumps(lease), when=4e9)]
        said += [f"a pipe as lease: {p}" for p in _small(ground, "leases/" + ground.key, None)]
        said += [f"a pipe as failure: {p}" for p in _small(ground, f"failures/{ground.key[:2]}/{ground.key}.json", None)]
        said.append(f"={2 * len(leases) + 3} kinds: none hangs, none stops a run, every result right")
    with part.step("a hostile index: harmless") as said:
        count = 0
        for name, content in {"nested": _DEEP, "types": '{"metrics":[1],"record":3,"notes":5}', "empty": ""}.items():
            said += [f"{name}: {problem}" for problem in in_a_child(lambda content=content: _hostile_row(ground, content))]
            count += 1
        for name, statement in {
            "a trigger": "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
            "a view": "CREATE VIEW v AS SELECT load_extension('/tmp/x.so')",
            "another table": "DROP TABLE entry",
        }.items():
            said += [f"{name}: {problem}" for problem in in_a_child(lambda s=statement: _hostile_schema(ground, s))]
            count += 1
        said.append(f"={count} kinds: no wrong type comes out, no statement of its own is run")


def _small(ground: Ground, name: str, text: str | None, when: float | None = None) -> list[str]:
    """Put a small file where a lease or a failure lies, take the result away, and run."""
    ground.fresh()
    path = ground.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        os.mkfifo(path)
    else:
        path.write_text(text, encoding="utf-8")
    if when is None:
        when = 1.0  # long ago, so that it counts as abandoned
    os.utime(path, (when, when))
    ground.store.path(ground.key).unlink()

    def attack() -> list[str]:
        from tmi.runs.runner import load_results

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for entry in load_results(ground.suite, ground.home):
                str(entry.message)
            return ground.survives()

    return in_a_child(attack, 60)


def _hostile_row(ground: Ground, content: str) -> list[str]:
    ground.fresh()
    stamp = files.stamp(ground.store.path(ground.key))
    assert stamp is not None
    Index(ground.home).add([IndexRow("probe", ground.key, *stamp, "p", "{}", 0.0, "", content)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Store(ground.home).read_all([ground.key])[ground.key]
        right = Store(ground.truth).read(ground.key)
        return [] if found == right else [f"read: {str(found)[:80]}"]


def _hostile_schema(ground: Ground, statement: str) -> list[str]:
    ground.fresh()
    with closing(sqlite3.connect(ground.home / NAME)) as database:
        database.execute(statement)
        database.commit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ground.survives()


def suites(ground: Ground, part: Part) -> None:
    evil = f"__import__('os').system('touch {ground.mark}')"
    base = ground.suite.read_text(encoding="utf-8")
    refused = {
        "use is code": base.replace('"toy-probe"', json.dumps(evil)),
        "use is a module": base.replace('"toy-probe"', '"os:system"'),
        "use is a path": base.replace('"toy-probe"', '"../../secret"'),
        "a setting is code": base.replace("[networks.n]", f"samples = {json.dumps(evil)}\n[networks.n]"),
        "a report is a path": f'report = "../../secret"\n{base}',
        "a plug-in that is no Python": base.replace('"toys.py"', '"toys.py", "secret"'),
        "a plug-in that is missing": base.replace('"toys.py"', '"../../../../nowhere.py"'),
        "a number without end": f"x = {'9' * 10_000}\n{base}",
        "nested without end": f"x = {_DEEP}\n{base}",
        "no UTF-8": "\udcff" + base,
        "seeds without end": base.replace("seeds = [0]", "seeds = [99999999999999999999999]"),
    }
    with part.step("hostile suites: refused with a clear line, and nothing is run") as said:
        for name, text in refused.items():
            said += [f"{name}: {problem}" for problem in in_a_child(lambda text=text: _refuses(ground, text))]
        said.append(f"={len(refused)} kinds refused")
    with part.step("paths as names of tables, suites and keys lead nowhere") as said:
        ground.fresh()
        said += in_a_child(lambda: _named_as_paths(ground), 120)
        for key in ("", "../" * 21 + "x", "/" * 64, "../../" + "a" * 58, "A" * 64, "a" * 63 + "\n", "a" * 63 + "\0"):
            for use in (ground.store.path, ground.store.read, ground.store.load, ground.store.load_dataset):
                try:
                    use(key)
                    said.append(f"key {key[:10]!r} is taken")
                except StoreError:
                    pass
        said.append(
            "=7 keys refused; tables called “../../escape” and “<script>” are words in a page and write nothing elsewhere"
        )


def _refuses(ground: Ground, text: str) -> list[str]:
    from tmi.suites.reader import load_suite

    path = ground.folder / "hostile.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    try:
        with warnings.catch_warnings(), audited() as ran:
            warnings.simplefilter("ignore")
            load_suite(path)
    except (SuiteError, TmiError):
        return ground.unharmed() + ran
    return ["it is taken"]


def _named_as_paths(ground: Ground) -> list[str]:
    import tmi
    from tmi.report.page import write

    inner = ground.folder / "deep" / "er" / "inner"
    inner.mkdir(parents=True)
    text = ground.suite.read_text(encoding="utf-8").replace("toys.py", "../../../toys.py")
    for label, hostile in {"d": "../../escape", "n": "<script>alert(1)</script>", "p": "a/../../../b"}.items():
        text = text.replace(f".{label}]", f".{json.dumps(hostile)}]")
    suite = inner / "suite.toml"
    suite.write_text(f'name = "../../<script>alert(2)</script>"\n{text}', encoding="utf-8")
    before = {path for path in ground.folder.rglob("*") if inner not in path.parents}
    results = tmi.run(suite, inner / "store", threads=1)
    page = write(results, inner / "report").read_text(encoding="utf-8")
    results.to_json(inner / "rows.json")
    after = {path for path in ground.folder.rglob("*") if inner not in path.parents and "__pycache__" not in path.parts}
    problems = [f"wrote {path.name}" for path in after - before]
    problems += [entry.message for entry in results if entry.status != "ok"]
    return problems + (["a script in the page"] if "<script>alert" in page else [])


def links(ground: Ground, part: Part) -> None:
    """Put links to files outside in every place of the store."""
    with part.step("links in the store: their targets are neither read nor changed") as said:
        outside = ground.folder / "outside"
        outside.mkdir()
        target = outside / "target"
        for name, place in {
            "a result": lambda: ground.store.path(ground.key),
            "a data set": lambda: ground.store.path(ground.plan[0].dataset_key or "", "dataset"),
            "a network": lambda: ground.store.path(ground.plan[0].network_key or "", "network"),
            "a lease": lambda: ground.home / "leases" / ground.key,
            "a failure": lambda: ground.home / "failures" / ground.key[:2] / f"{ground.key}.json",
            "the index": lambda: ground.home / NAME,
        }.items():
            for kind, data in {"a secret": _SECRET, "a good file": None}.items():
                ground.fresh()
                path = place()
                path.parent.mkdir(parents=True, exist_ok=True)
                there = path.read_bytes() if path.is_file() else b"{}"
                target.write_bytes(there if data is None else data)
                was = target.read_bytes()
                path.unlink(missing_ok=True)
                path.symlink_to(target)
                if name != "a result":
                    ground.store.path(ground.key).unlink()

                def attack() -> list[str]:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        return ground.survives()

                said += [f"{name}, {kind}: {problem}" for problem in in_a_child(attack, 60)]
                if target.read_bytes() != was or target.is_symlink():
                    said.append(f"{name}, {kind}: the file outside was changed")
        said.append("=6 places, each a link to a secret and to a good file: set aside or passed over; the target is as it was")


def rows(quick: bool) -> list[Row]:
    """Try what a hostile file may do; both forms are the same."""
    import torch

    torch.set_num_threads(1)
    part = Part("hostile")
    with scratch() as folder:
        ground = Ground(folder)
        results(ground, part)
        networks(ground, part)
        beside(ground, part)
        suites(ground, part)
        links(ground, part)
    return part.rows
