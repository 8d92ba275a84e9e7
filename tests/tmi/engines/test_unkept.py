"""Each way of reading a file, in each kind of function: found and not kept, or declared by a `Path` and kept by its content."""

from __future__ import annotations

import itertools
import shutil
import time
import warnings

import pytest

import tmi
from tests.tmi import readers
from tests.tmi.readers import HOOKS, READERS

PAIRS = list(itertools.product(READERS, HOOKS))
# Every reader in one kind of function, and one reader in every kind; the others are slow together.
QUICK = {*zip(READERS, itertools.cycle(HOOKS), strict=False), *((("open"), hook) for hook in HOOKS)}
CASES = [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow) for pair in PAIRS]


def run(suite, folder, **options):
    """Return the only entry, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (entry,) = tmi.run(suite, store=folder / "store", **options)
    assert entry.status == "ok", entry.traceback
    return entry, [str(w.message) for w in caught if w.category is not ResourceWarning]


def write(reader, path, value):
    """Write the file, and change at least its time of modification."""
    READERS[reader].write(path, value)
    time.sleep(0.01)


@pytest.mark.parametrize(("reader", "hook"), CASES)
def test_what_nothing_declares_is_found_and_not_kept(tmp_path, reader, hook):
    suite = readers.suite(readers.plugin(tmp_path, reader, "str"), hook, tmp_path / "input")
    for value in (3, 3, 5):
        write(reader, tmp_path / "input", value)
        entry, caught = run(suite, tmp_path)
        assert entry.metrics[hook] == (3 if reader == "memoised" else value), "a process has it in memory"
        assert not entry.cached
        assert entry.key is None
        (text,) = caught
        assert text.startswith(f"{hook} 'a-{hook}' of plug-in reading opens {tmp_path}/input")
        assert "annotate the setting that names it as Path, or declare it with tmi.external" in text
    assert not list((tmp_path / "store" / "results").glob("*/*"))
    kept = {"dataset": 0, "network": 1}.get(hook, 2)
    assert len(list((tmp_path / "store").glob("datasets/*/*"))) == min(kept, 1)
    assert len(list((tmp_path / "store").glob("networks/*/*"))) == kept // 2


@pytest.mark.parametrize(("reader", "hook"), [pytest.param(*c.values, marks=c.marks) for c in CASES if c.values[0] != "memoised"])
def test_what_a_path_declares_counts_by_its_content(tmp_path, reader, hook):
    suite = readers.suite(readers.plugin(tmp_path, reader, "Path"), hook, "input")
    for value, cached in ((3, False), (3, True), (5, False), (5, True)):
        if not cached:
            write(reader, tmp_path / "input", value)
        entry, caught = run(suite, tmp_path)
        assert (entry.metrics[hook], entry.cached, caught) == (value, cached, [])
    moved = tmp_path / "elsewhere"  # neither the path nor the folder counts
    moved.mkdir()
    for name in ("reading.py", "reading.toml", "input"):
        shutil.move(tmp_path / name, moved / name)
    entry, _ = run(moved / "reading.toml", tmp_path)
    assert entry.cached


def test_a_checkpoint_that_is_trained_again(tmp_path):
    """The case of a builder that reads weights from a file with a fixed name: never an old number."""
    import torch

    (tmp_path / "pre.py").write_text(PRETRAINED)
    (tmp_path / "pre.toml").write_text(
        SQUARES + '[networks.mine]\nuse = "pretrained"\n' + f'file = "{tmp_path}/net.pt"\n' + ACCURACY
    )
    accuracies = []
    for scale in (1, -1):
        weights = torch.zeros(2, 16)
        weights[0] = scale
        torch.save({"1.weight": weights, "1.bias": torch.tensor([-8.0 * scale, 0])}, tmp_path / "net.pt")
        entry, (text,) = run(tmp_path / "pre.toml", tmp_path)
        accuracies.append(entry.metrics["accuracy"])
        assert text.startswith(f"network 'pretrained' of plug-in pre opens {tmp_path}/net.pt; its key does not cover that")
    assert accuracies[0] != accuracies[1]


SQUARES = 'plugins = ["pre.py"]\n[datasets.squares]\nuse = "squares"\nsamples = 20\ntest_samples = 20\n'
ACCURACY = '[probes.accuracy]\nuse = "accuracy"\n'
PRETRAINED = '''
from __future__ import annotations
import tmi

@tmi.hookimpl
def tmi_network_builders():
    return {"pretrained": "pre:pretrained"}

def pretrained(data: tmi.Dataset, *, file: str = "net.pt") -> tmi.Network:
    """A network from a checkpoint."""
    import torch
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    module.load_state_dict(torch.load(file))
    return tmi.Network(module, ["1"], "imported", task=data.task)
'''


@pytest.mark.parametrize("kind", ["str", "Path"])
def test_a_replaced_picture_and_a_deleted_class_folder(tmp_path, kind):
    pictures = tmp_path / "pictures"
    for name, count in (("cats", 2), ("dogs", 1), ("none", 0)):
        (pictures / name).mkdir(parents=True)
        for number in range(count):
            (pictures / name / f"{number}.txt").write_text("1")
    readers.READERS["pictures"] = readers.Reader(
        "return sum(10 + sum(float(p.read_text()) for p in d.glob('*')) for d in Path(path).iterdir())", readers._text
    )
    suite = readers.suite(readers.plugin(tmp_path, "pictures", kind), "dataset", "pictures" if kind == "Path" else pictures)
    del readers.READERS["pictures"]
    changes = (
        lambda: None,
        lambda: (pictures / "cats" / "0.txt").write_text("5"),
        lambda: shutil.rmtree(pictures / "dogs"),
        lambda: (pictures / "none").rmdir(),
    )
    for change, value in zip(changes, (33, 37, 26, 16), strict=True):
        change()
        for again in (False, True):
            entry, caught = run(suite, tmp_path)
            assert entry.metrics["dataset"] == value
            assert (entry.cached, len(caught)) == ((again, 0) if kind == "Path" else (False, 1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["str", "Path"])
def test_workers_find_the_same(tmp_path, kind):
    suite = readers.suite(readers.plugin(tmp_path, "open", kind), "network", "input" if kind == "Path" else tmp_path / "input")
    suite.write_text(suite.read_text() + '[probes.y]\nuse = "a-probe"\nsweep.file = ["input", "other"]\n' * (kind == "Path"))
    for value in (3, 5):
        (tmp_path / "input").write_text(str(value))
        (tmp_path / "other").write_text("7")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results = tmp_path / "store"
            entries = list(tmi.run(suite, store=results, workers=2))
            assert all(entry.status == "ok" and entry.metrics["network"] == value and not entry.cached for entry in entries)
            assert len([w for w in caught if "opens" in str(w.message)]) == (kind == "str")
            serial = list(tmi.run(suite, store=results))
    assert [entry.cached for entry in serial] == [kind == "Path"] * len(serial), "keys are the same in every process"
    if kind == "Path":
        assert [entry.metrics["probe"] for entry in serial] == [-1, value, 7]
        assert [entry.swept.get("file") for entry in serial] == [None, "input", "other"]


CHANGING = '''
from __future__ import annotations
from pathlib import Path
import tmi

@tmi.hookimpl
def tmi_probes():
    return {"changing": "pre:changing"}

def changing(network, data, *, file: Path, write: bool) -> tmi.ProbeResult:
    """Change the file that it reads."""
    text = file.read_text()
    if write:
        file.write_text(text + "1")
    return tmi.ProbeResult({"length": len(text)})
'''


def test_a_file_that_changes_during_the_run(tmp_path):
    (tmp_path / "pre.py").write_text(CHANGING)
    (tmp_path / "input").write_text("1")
    probe = '[networks.n]\nuse = "theorem1"\n[probes.p]\nuse = "changing"\nfile = "input"\nwrite = '
    for write_it, length in (("true", 1), ("true", 2), ("false", 3)):
        (tmp_path / "pre.toml").write_text(SQUARES + probe + write_it)
        entry, caught = run(tmp_path / "pre.toml", tmp_path)
        assert entry.metrics["length"] == length
        changed = [f"probe p: {tmp_path}/input changed during the run, so what was computed from it is not kept"]
        assert caught == (changed if write_it == "true" else [])
        assert (entry.key is None) == (write_it == "true")


def test_external_is_trusted_and_others_of_the_cell_are_not(tmp_path):
    """A trusted probe calls a method that is not; and a trusted method is called by a probe that reads nothing."""
    text = readers.PLUGIN.replace("BODY", "return Path(path).read_text()").replace("KIND", "str")
    for hook, trusted in (("probe", "probe"), ("method", "probe"), ("method", "method")):
        folder = tmp_path / f"{hook} {trusted}"
        folder.mkdir()
        (folder / "reading.py").write_text(text.replace(f"def {trusted}(", f"@tmi.external(lambda **_: 1)\ndef {trusted}("))
        (folder / "input").write_text("3")
        _, caught = run(readers.suite(folder / "reading.py", hook, folder / "input"), folder)
        assert [text.split(" of ")[0] for text in caught] == ([] if hook == trusted else [f"{hook} 'a-{hook}'"])


def test_a_file_that_a_module_reads_when_it_is_imported(tmp_path):
    (tmp_path / "input.txt").write_text("3")
    text = readers.PLUGIN.replace("KIND", "str").replace("BODY", "return number")
    helper = f"number = float(open({str(tmp_path / 'input.txt')!r}).read())\n"
    places = {"the file": (helper + text, None), "a helper": (text + "\nfrom readinghelper import number\n", helper)}
    for name, (plugin_text, helper_text) in places.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "reading.py").write_text(plugin_text.replace("from __future__ import annotations\n", ""))
        if helper_text:
            (folder / "readinghelper.py").write_text(helper_text)
        for _ in range(2):
            entry, caught = run(readers.suite(folder / "reading.py", "probe", "x"), folder)
            assert entry.metrics["probe"] == 3
            assert not entry.cached
            assert len(caught) == 5, "a sentence for each function that uses the module"
            assert all("input.txt when it is imported; its key does not cover that" in text for text in caught)


def test_a_module_that_reads_its_own_source_is_covered_by_the_key(tmp_path):
    """As numba does for ``njit(cache=True)``; what it reads before that still counts."""
    (tmp_path / "input.txt").write_text("3")
    text = readers.PLUGIN.replace("KIND", "str").replace("BODY", "return 3")
    text = text.replace("from __future__ import annotations\n", "")
    for name, first in (("alone", ""), ("after another", f"open({str(tmp_path / 'input.txt')!r}).close()\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "reading.py").write_text(f"{first}open(__file__).close()\n{text}")
        entry, caught = run(readers.suite(folder / "reading.py", "probe", "x"), folder)
        assert (entry.key is None) == bool(caught) == bool(first)
        assert all("input.txt when it is imported" in text for text in caught)


def test_functions_that_read_nothing_are_kept_beside_one_that_does(tmp_path):
    suite = readers.suite(readers.plugin(tmp_path, "open", "str"), "probe", tmp_path / "input")
    (tmp_path / "input").write_text("3")
    suite.write_text(suite.read_text() + '[probes.y]\nuse = "a-probe"\n[probes.z]\nuse = "accuracy"\n')
    for cached in (False, True):
        with pytest.warns(UserWarning, match="probe 'a-probe' of plug-in reading opens") as caught:
            entries = list(tmi.run(suite, store=tmp_path / "store"))
        assert len(caught) == 1
        # The probe may have the file in memory, whatever its settings are.
        assert [entry.cached for entry in entries] == [False, False, cached]
