"""Whatever happens to the database of an index, what is read from it is what was added, or less of it."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi.store import index as module
from tmi.store.index import Cost, Index, IndexRow


def row(i: int, **more: object) -> IndexRow:
    fields = {
        "kind": ("result", "dataset", "network")[i % 3],
        "key": f"{i:064x}",
        "size": 1000 + i,
        "mtime_ns": 1_700_000_000_000_000_000 + i,
        "name": f"näme {i % 2}",
        "params": f'{{"k":{i % 4}}}',
        "seconds": i / 7,
        "finished": f"2025-01-01T00:00:{i % 60:02d}+00:00",
        "content": f'{{"metrics":{{"accuracy":{i / 3}}},"note":"黒"}}',
    }
    return IndexRow(**{**fields, **more})


ROWS = [row(i) for i in range(9)]


def stamps(rows):
    return {r.key: (r.size, r.mtime_ns) for r in rows}


def read(index: Index, rows=ROWS) -> dict[str, IndexRow]:
    """Everything of every kind, by key."""
    found: dict[str, IndexRow] = {}
    trouble = []
    for kind in ("result", "dataset", "network"):
        found |= index.read(kind, stamps(r for r in rows if r.kind == kind))
        trouble.append(index.trouble)
    index.trouble = next(filter(None, trouble), "")
    return found


def by_key(rows) -> dict[str, IndexRow]:
    return {r.key: r for r in rows}


@pytest.fixture
def index(tmp_path):
    return Index(tmp_path)


@pytest.fixture
def filled(index):
    index.add(ROWS)
    assert not index.trouble
    return index


def test_rows_come_back(filled):
    assert read(filled) == by_key(ROWS)
    assert not filled.trouble
    assert [p.name for p in filled.path.parent.iterdir()] == ["index.sqlite"]
    assert repr(filled).startswith("Index(")


def test_nothing_was_added(index):
    assert read(index) == {}
    assert index.count() == 0
    assert index.costs() == []
    index.remove("result", [ROWS[0].key])
    index.add([])
    assert not index.trouble
    assert not index.path.exists()


def test_a_file_of_another_size_or_time_is_left_out(filled):
    results = [r for r in ROWS if r.kind == "result"]
    wanted = stamps(results)
    wanted[results[0].key] = (results[0].size + 1, results[0].mtime_ns)
    wanted[results[1].key] = (results[1].size, results[1].mtime_ns + 1)
    wanted["f" * 64] = (1, 1)
    assert filled.read("result", wanted) == by_key(results[2:])
    assert filled.read("dataset", stamps(results)) == {}
    assert not filled.trouble


@pytest.mark.parametrize("wanted", [1, 20, 150, 300])
def test_some_of_many(index, wanted):
    rows = [row(i, kind="result") for i in range(300)]
    index.add(rows)
    chosen = random.Random(0).sample(rows, wanted)
    assert index.read("result", stamps(chosen)) == by_key(chosen)


def test_a_newer_row_takes_the_place_of_the_older(filled):
    newer = dataclasses.replace(ROWS[0], seconds=99.0, mtime_ns=5)
    filled.add([newer])
    assert read(filled, [newer]) == {newer.key: newer}
    assert read(filled) == by_key(ROWS[1:])
    assert filled.count() == 9


def test_removing_and_clearing(filled):
    filled.remove("result", [ROWS[0].key, ROWS[1].key, "f" * 64])
    assert read(filled) == by_key(ROWS[1:])  # row 1 is no result
    filled.clear()
    assert read(filled) == {}
    assert filled.count() == 0
    filled.add(ROWS)
    assert read(filled) == by_key(ROWS)
    assert not filled.trouble


def test_count_and_costs_are_those_of_the_rows(filled):
    assert filled.count() == len(ROWS)
    groups: dict[tuple[str, str, str], list[IndexRow]] = {}
    for r in ROWS:
        groups.setdefault((r.kind, r.name, r.params), []).append(r)
    expected = [
        Cost(*group, pytest.approx(sum(r.seconds for r in rows) / len(rows)), sum(r.size for r in rows) / len(rows), len(rows))
        for group, rows in groups.items()
    ]
    costs = filled.costs()
    assert sorted(costs, key=lambda c: (c.kind, c.name, c.params)) == sorted(expected, key=lambda c: (c.kind, c.name, c.params))
    assert not filled.trouble


text = st.text(max_size=8)


@given(
    rows=st.lists(
        st.builds(
            IndexRow,
            kind=text,
            key=text,
            size=st.integers(-(2**65), 2**65),
            mtime_ns=st.integers(-(2**63), 2**63),
            name=text,
            params=text,
            seconds=st.floats(),
            finished=text,
            content=text,
        ),
        max_size=4,
        unique_by=lambda r: (r.kind, r.key),
    )
)
def test_any_row_comes_back_or_is_not_taken(tmp_path_factory, rows):
    index = Index(tmp_path_factory.mktemp("any"))
    rows.append(row(0, content="\udc80 no UTF-8"))
    index.add(rows)
    assert not index.trouble
    for r in rows:
        found = index.read(r.kind, stamps([r]))
        assert found in ({}, {r.key: r})
        ordinary = max(abs(r.size), abs(r.mtime_ns)) < 2**63 and abs(r.seconds) < float("inf")
        assert found or not ordinary or "\udc80" in r.content
    assert not index.trouble


def test_a_row_that_is_too_long_is_not_taken(index):
    index.add([row(0, content="x" * (1 << 24)), row(3)])
    assert read(index, [row(0, content=""), row(3)]) == {row(3).key: row(3)}
    assert not index.trouble


COLUMNS = {
    "kind": "'dataset'",
    "key": f"'{'e' * 64}'",
    "row": "row || zeroblob(1)",
    "seal": "zeroblob(32)",
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", ["changed", "x'ff'", "'9'", "1e300", "NULL"])
def test_a_changed_field_is_not_believed(filled, column, value):
    changed_row = ROWS[3]
    changed = COLUMNS[column] if value == "changed" else value
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as database:
        database.execute(f"UPDATE entry SET {column} = {changed} WHERE kind = ? AND key = ?", (changed_row.kind, changed_row.key))
    other_key = row(0, key="e" * 64, size=changed_row.size, mtime_ns=changed_row.mtime_ns)
    found = read(filled, [*ROWS, other_key, dataclasses.replace(changed_row, kind="dataset")])
    assert changed_row.key not in found
    assert "e" * 64 not in found
    assert all(by_key(ROWS)[key] == r for key, r in found.items())
    filled.add(ROWS)
    assert not filled.trouble
    assert read(filled) == by_key(ROWS)
    assert not filled.trouble
    assert not (filled.path.parent / "damaged").exists()


def test_a_damaged_row_removes_the_index(filled):
    """It is made from the files again: one damaged row is a sign that others may be."""
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as database:
        database.execute("UPDATE entry SET seal = zeroblob(32) WHERE key = ?", (ROWS[3].key,))
    assert filled.read(ROWS[3].kind, stamps([ROWS[3]])) == {}
    assert "a row is not as it was written" in filled.trouble
    assert not filled.path.exists()


def survives(folder: Path, data: bytes) -> int:
    """Put ``data`` in the place of an index; how many rows are still read from it."""
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    index = Index(folder)
    index.path.write_bytes(data)
    true = by_key(ROWS)
    start = time.monotonic()
    found = read(index)
    assert all(true[key] == r for key, r in found.items())
    index.count()  # of a damaged database it may be any number
    assert {(c.kind, c.name, c.params) for c in index.costs()} <= {(r.kind, r.name, r.params) for r in ROWS}
    new = row(77)
    index.add([new])
    newer = "newer tmi" in index.trouble
    if not newer:
        assert not index.trouble
        again = read(index, [*ROWS, new])
        if new.key not in again:  # adding met no damage, reading did
            assert index.trouble
            index.add([new])
            again = read(index, [*ROWS, new])
            assert not index.trouble
        assert again[new.key] == new
        assert all((true | {new.key: new})[key] == r for key, r in again.items())
    assert time.monotonic() - start < 5
    return len(found)


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAGE", 512)
    (tmp_path / "whole").mkdir()
    index = Index(tmp_path / "whole")
    index.add(ROWS)
    data = index.path.read_bytes()
    assert survives(tmp_path / "whole", data) == len(ROWS)
    return data


@pytest.mark.slow
def test_every_byte_flipped(tmp_path, small):
    counts = []
    for place in range(len(small)):
        for flip in (0x01, 0xFF):
            data = bytearray(small)
            data[place] ^= flip
            counts.append(survives(tmp_path / "whole", bytes(data)))
    assert min(counts) == 0
    assert 3 < sum(counts) / len(counts) < len(ROWS)


def test_some_bytes_flipped(tmp_path, small):
    rng = random.Random(1)
    for place in [*range(100), *rng.sample(range(100, len(small)), 200)]:
        data = bytearray(small)
        data[place] ^= rng.randrange(1, 256)
        survives(tmp_path / "whole", bytes(data))


def test_truncated_anywhere(tmp_path, small):
    counts = [survives(tmp_path / "whole", small[:end]) for end in [*range(0, len(small), 512), 1, 99, 100, len(small) - 1]]
    assert counts[0] == 0


def test_pages_swapped_doubled_and_overwritten(tmp_path, small):
    rng = random.Random(2)
    pages = [small[i : i + 512] for i in range(0, len(small), 512)]
    for _ in range(60):
        mixed = list(pages)
        mixed[rng.randrange(1, len(pages))] = rng.choice([rng.choice(pages), rng.randbytes(512), bytes(512)])
        rng.shuffle(tail := mixed[1:])
        survives(tmp_path / "whole", b"".join(mixed))
        survives(tmp_path / "whole", b"".join([mixed[0], *tail]))


@pytest.mark.parametrize("data", [b"\0", b"garbage" * 1000, b"SQLite format 3\0", bytes(8192), random.Random(0).randbytes(9000)])
def test_a_foreign_file_is_set_aside(tmp_path, data):
    assert survives(tmp_path, data) == 0
    (moved,) = (tmp_path / "damaged").iterdir()
    assert moved.read_bytes() == data


def test_a_foreign_database_is_set_aside(index):
    with closing(sqlite3.connect(index.path)) as database:
        database.execute(module._TABLE)
    before = index.path.read_bytes()
    assert read(index) == {}
    assert "is not the index" in index.trouble
    index.add(ROWS)
    assert not index.trouble
    assert read(index) == by_key(ROWS)
    (moved,) = (index.path.parent / "damaged").iterdir()
    assert moved.read_bytes() == before


def test_an_empty_file_is_filled(index):
    index.path.touch()
    assert read(index) == {}
    assert not index.trouble
    index.add(ROWS)
    assert read(index) == by_key(ROWS)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE entry ADD COLUMN more TEXT",
        "CREATE TRIGGER t AFTER INSERT ON entry BEGIN UPDATE entry SET seconds = 0; END",
        "CREATE VIEW v AS SELECT * FROM entry",
        "DROP TABLE entry",
        "PRAGMA user_version = 0",
        "PRAGMA journal_mode = WAL",
    ],
)
def test_another_schema_is_not_used_and_replaced(filled, statement):
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as database:
        database.execute(statement)
    assert read(filled) == {}
    assert "is not the index of a store" in filled.trouble
    filled.add(ROWS)
    assert read(filled) == by_key(ROWS)
    assert [p.name for p in filled.path.parent.iterdir()] == ["index.sqlite"]


def test_a_newer_layout_is_left_alone(filled):
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as database:
        database.execute(f"PRAGMA user_version = {module.LAYOUT + 1}")
    before = filled.path.read_bytes()
    assert read(filled) == {}
    filled.add([row(50)])
    assert "newer tmi" in filled.trouble
    assert "\n" not in filled.trouble
    filled.remove("result", [ROWS[0].key])
    assert filled.path.read_bytes() == before
    filled.clear()  # this is asked for
    filled.add(ROWS)
    assert read(filled) == by_key(ROWS)


@pytest.mark.parametrize("name", ["index.sqlite", "index.sqlite-journal"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_what_is_no_plain_file_is_left_alone(tmp_path, name, kind):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    index = Index(tmp_path)
    if name != "index.sqlite":
        index.add(ROWS)
    path = tmp_path / name
    make = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(victim),
        "dangling link": lambda: path.symlink_to(tmp_path / "nowhere"),
    }
    make[kind]()
    before = path.lstat()
    for use in (lambda: read(index), index.costs, index.count, lambda: index.remove("result", [ROWS[0].key])):
        assert not use()
        assert f"{name} is no plain file" in index.trouble
    index.add(ROWS)
    assert f"{name} is no plain file" in index.trouble
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    path.rmdir() if kind == "folder" else path.unlink()
    index.add(ROWS)
    assert read(index) == by_key(ROWS)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_clearing_moves_away_what_is_no_plain_file(tmp_path, kind):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    index = Index(tmp_path)
    {"folder": index.path.mkdir, "pipe": lambda: os.mkfifo(index.path), "link": lambda: index.path.symlink_to(victim)}[kind]()
    index.clear()
    assert not index.trouble
    index.add(ROWS)
    assert read(index) == by_key(ROWS)
    assert victim.read_text() == "precious"
    assert len(list((tmp_path / "damaged").iterdir())) == 1


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_its_mode_follows_the_umask(tmp_path, umask):
    """In a store that a group shares, all of them write to it: SQLite's own mode is 0644 at most."""
    before = os.umask(umask)
    try:
        index = Index(tmp_path)
        index.add(ROWS)
        (tmp_path / "plain").touch()
    finally:
        os.umask(before)
    assert index.path.stat().st_mode == (tmp_path / "plain").stat().st_mode == 0o100666 & ~umask


def test_the_journal_of_a_deleted_database_is_not_played_back(filled):
    """Killed in the middle of a change, then deleted by hand: the journal stays."""
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")  # the change reaches the file before it is committed
        database.execute("BEGIN")
        database.executemany("INSERT INTO entry VALUES (?, ?, zeroblob(3000), NULL)", [("result", str(i)) for i in range(99)])
        journal = filled.path.with_name("index.sqlite-journal").read_bytes()
        assert journal[:8] == bytes.fromhex("d9d505f920a163d7")
    filled.path.unlink()
    filled.path.with_name("index.sqlite-journal").write_bytes(journal)
    filled.add(ROWS[:2])
    assert not filled.trouble
    assert read(filled) == by_key(ROWS[:2])
    assert [p.name for p in filled.path.parent.iterdir()] == ["index.sqlite"]


def test_the_folder_is_not_there(tmp_path):
    index = Index(tmp_path / "nowhere")
    index.add(ROWS)
    assert index.trouble
    assert read(index) == {}
    index.clear()
    assert not (tmp_path / "nowhere").exists()


def test_names_that_mean_something_to_sqlite(tmp_path):
    folder = tmp_path / "a?mode=ro&x#%20;'\" ü"
    folder.mkdir()
    index = Index(folder)
    index.add(ROWS)
    assert read(index) == by_key(ROWS)
    assert [p.name for p in folder.iterdir()] == ["index.sqlite"]


def test_a_lock_that_is_held_for_long(filled, monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.1)
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert read(filled) == {}
        assert "locked" in filled.trouble
        index = Index(filled.path.parent)
        index.add([row(30)])
        assert "locked" in index.trouble
        start = time.monotonic()
        for i in range(100):  # a run does not wait each time
            index.add([row(30 + i)])
        assert time.monotonic() - start < 1
        assert "locked" in index.trouble
        index.clear()
        assert "locked" in index.trouble
    assert read(filled) == by_key(ROWS)
    assert not (filled.path.parent / "damaged").exists()


def run_python(code: str, *arguments: object, **more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from tests.tmi.store.test_index import *\n" + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finish(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=100)
    assert process.returncode == 0, error
    return out


def test_no_space(filled):
    code = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
index = Index(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (index.path.stat().st_size, resource.RLIM_INFINITY))
index.add([row(i) for i in range(1000)])
assert index.trouble
assert read(index) == by_key(ROWS)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
index.add([row(i) for i in range(1000)])
assert not index.trouble, index.trouble
"""
    finish(run_python(code, filled.path.parent))
    rows = [row(i) for i in range(1000)]
    assert read(filled, rows) == by_key(rows)
    assert [p.name for p in filled.path.parent.iterdir()] == ["index.sqlite"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_without_permission(filled):
    filled.path.chmod(0o400)
    filled.path.parent.chmod(0o500)
    filled.add([row(30)])
    assert filled.trouble
    assert read(filled) == by_key(ROWS)
    filled.path.chmod(0)
    assert read(filled) == {}
    assert filled.trouble
    filled.path.parent.chmod(0o700)


def test_eight_processes_add_and_read_at_once(index):
    code = """
number = int(sys.argv[2])
mine = [row(1000 * number + i) for i in range(40)]
index = Index(sys.argv[1])
for i, one in enumerate(mine):
    for _ in range(5):
        index.add([one])
        index._rest_until = 0.0
        if not index.trouble:
            break
    assert not index.trouble, index.trouble
    found = read(index, mine)
    assert not index.trouble, index.trouble
    assert found == by_key(mine[: i + 1])
"""
    for process in [run_python(code, index.path.parent, number) for number in range(8)]:
        finish(process)
    rows = [row(1000 * number + i) for number in range(8) for i in range(40)]
    assert read(index, rows) == by_key(rows)
    assert [p.name for p in index.path.parent.iterdir()] == ["index.sqlite"]


def test_many_find_it_damaged_at_once(filled):
    """One of them deletes it; no row comes out changed, and rows that are lost are read from their files again."""
    data = bytearray(filled.path.read_bytes())
    data[200:4096] = bytes(3896)
    filled.path.write_bytes(data)
    code = """
index = Index(sys.argv[1])
for i in range(30):
    one = row(1000 * int(sys.argv[2]) + i)
    index.add([one])
    assert set(read(index, [one]).values()) <= {one}
"""
    for process in [run_python(code, filled.path.parent, number) for number in range(4)]:
        finish(process)
    rows = [row(1000 * number + i) for number in range(4) for i in range(30)]
    found = read(filled, rows)
    assert not filled.trouble
    assert found.items() <= by_key(rows).items()
    assert len(found) > 90
    assert [p.name for p in filled.path.parent.iterdir()] == ["index.sqlite"]


def killed_writers(folder: Path, times: int) -> None:
    code = """
index = Index(sys.argv[1])
print("ready", flush=True)
i = 0
while True:
    i += 1
    index.add([row(i * 20 + j) for j in range(20)])
    assert not index.trouble, index.trouble
"""
    index = Index(folder)
    rng = random.Random(times)
    for _ in range(times):
        writer = run_python(code, folder)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.05)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        rows = [row(i) for i in range(20, 2000)]
        found = read(index, rows)
        assert not index.trouble
        assert found.items() <= by_key(rows).items()
        assert len({int(key, 16) // 20 for key in found}) * 20 == len(found)  # transactions whole or not at all
        index.add(ROWS)
        assert not index.trouble
        assert by_key(ROWS).items() <= read(index).items()


def test_killed_writers(tmp_path):
    killed_writers(tmp_path, 4)


@pytest.mark.slow
def test_writers_killed_often(tmp_path):
    killed_writers(tmp_path, 40)


def test_sqlite_is_not_imported_before_it_is_needed():
    code = "import sys; import tmi.store.index; sys.exit('sqlite3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
