"""Ways to read a number from a file or folder, as plug-ins use them; and a plug-in whose functions may read in any of them."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Reader(NamedTuple):
    """The body of a function ``read(path)``, and how the file that it reads is written."""

    body: str
    write: Callable[[Path, int], object]


def _text(path: Path, value: int) -> None:
    path.write_text(f"{value}\n")


def _files(path: Path, value: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    (path / "below").mkdir(parents=True)
    for number in range(value):
        (path / "below" / f"{number}.txt").touch()


def _array(path: Path, value: int) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.save(file, np.array([float(value)]))


def _raw(path: Path, value: int) -> None:
    import numpy as np

    np.array([float(value)]).tofile(path)


def _torch(path: Path, value: int) -> None:
    import torch

    torch.save(torch.tensor(value), path)


def _script(path: Path, value: int) -> None:
    import torch

    module = torch.nn.Linear(1, 1)
    module.bias.data.fill_(value)
    torch.jit.script(module).save(str(path))


def _hdf5(path: Path, value: int) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["value"] = value


def _image(path: Path, value: int) -> None:
    from PIL import Image

    with path.open("wb") as file:
        Image.new("L", (2, 2), value).save(file, format="png")


def _safetensors(path: Path, value: int) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"value": torch.tensor([value])}, path)


def _database(path: Path, value: int) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (value)")
        connection.execute("insert into t values (?)", [value])
    connection.close()


def _archive(path: Path, value: int) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("value", str(value))


READERS = {
    "open": Reader("return open(path).read()", _text),
    "read_text": Reader("return Path(path).read_text()", _text),
    "os.open": Reader(
        "import os; file = os.open(path, os.O_RDONLY); text = os.read(file, 99); os.close(file); return text", _text
    ),
    "append and read": Reader("return (file := open(path, 'a+')).seek(0) or file.read()", _text),
    "mmap": Reader("import mmap; file = open(path); return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)[:]", _text),
    "linecache": Reader("import linecache; linecache.clearcache(); return linecache.getline(str(path), 1)", _text),
    "json": Reader("import json; return json.load(open(path))", lambda path, value: path.write_text(json.dumps(value))),
    "toml": Reader(
        "import tomllib; return tomllib.load(open(path, 'rb'))['a']", lambda path, value: path.write_text(f"a = {value}")
    ),
    "pickle": Reader(
        "import pickle; return pickle.load(open(path, 'rb'))", lambda path, value: path.write_bytes(pickle.dumps(value))
    ),
    "gzip": Reader(
        "import gzip; return gzip.open(path).read()", lambda path, value: path.write_bytes(gzip.compress(b"%d" % value))
    ),
    "zip": Reader("import zipfile; return zipfile.ZipFile(path).read('value')", _archive),
    "urllib": Reader("import urllib.request; return urllib.request.urlopen(f'file://{path}').read()", _text),
    "sqlite3": Reader("import sqlite3; return sqlite3.connect(path).execute('select value from t').fetchone()[0]", _database),
    "numpy.load": Reader("return np.load(path)[0]", _array),
    "numpy.load mapped": Reader("return np.load(path, mmap_mode='r')[0]", _array),
    "numpy.memmap": Reader("return np.memmap(path, float, 'r')[0]", _raw),
    "numpy.fromfile": Reader("return np.fromfile(path)[0]", _raw),
    "numpy.loadtxt": Reader("return np.loadtxt(path)", _text),
    "torch.load": Reader("import torch; return torch.load(path)", _torch),
    "torch.load mapped": Reader("import torch; return torch.load(path, mmap=True)", _torch),
    "torch.jit.load": Reader("import torch; return torch.jit.load(str(path)).bias.item()", _script),
    "h5py": Reader("import h5py; return h5py.File(path, 'r')['value'][()]", _hdf5),
    "pandas": Reader("import pandas; return pandas.read_csv(path, header=None).iloc[0, 0]", _text),
    "PIL": Reader("from PIL import Image; return Image.open(path).getpixel((0, 0))", _image),
    "cv2": Reader("import cv2; return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[0, 0]", _image),
    "safetensors": Reader("from safetensors.torch import load_file; return load_file(path)['value'][0]", _safetensors),
    "thread": Reader(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor(1) as pool:\n"
        "        return pool.submit(Path(path).read_text).result()",
        _text,
    ),
    "fork": Reader(
        "import multiprocessing\n"
        "    with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "        return pool.map(Path.read_text, [Path(path)])[0]",
        _text,
    ),
    "memoised": Reader("return memoised(path)", _text),
    "listdir": Reader("import os; return len(os.listdir(Path(path) / 'below'))", _files),
    "walk": Reader("import os; return sum(len(files) for _, _, files in os.walk(path))", _files),
    "iterdir": Reader("return len(list((Path(path) / 'below').iterdir()))", _files),
    "glob": Reader("return len(list(Path(path).glob('**/*.txt')))", _files),
}

PLUGIN = '''
from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

import tmi
from tmi.params import Measure, Method


@tmi.hookimpl
def tmi_dataset_generators():
    return {"a-dataset": "reading:dataset"}


@tmi.hookimpl
def tmi_network_builders():
    return {"a-network": "reading:network"}


@tmi.hookimpl
def tmi_probes():
    return {"a-probe": "reading:probe"}


@tmi.hookimpl
def tmi_attribution_methods():
    return {"a-method": "reading:method"}


@tmi.hookimpl
def tmi_attribution_measures():
    return {"a-measure": "reading:measure"}


@functools.cache
def memoised(path):
    return Path(path).read_text()


def read(path):
    BODY


def value(file):
    return -1.0 if file is None else float(read(file))


def dataset(*, seed: int, file: KIND | None = None) -> tmi.Dataset:
    """Read."""
    tiles = [tmi.FeatureTile(np.full((1, 1, 2), i), 0.1, np.ones((1, 1, 2), bool)) for i in (0, 1)]
    task = tmi.TemplateTask([tmi.TileClass(str(i), [tile]) for i, tile in enumerate(tiles)], (1, 2, 2))
    rng = np.random.default_rng(seed)
    scenes = (tmi.Scenes.draw(task, samples=2, rng=rng) for _ in range(2))
    return tmi.Dataset(task, *scenes, notes={"value": value(file)})


def network(data, *, file: KIND | None = None) -> tmi.Network:
    """Read."""
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    module[1].bias.data.fill_(value(file))
    return tmi.Network(module, ["1"], "imported", task=data.task)


def probe(
    network, data, *, file: KIND | None = None, method: Method = "a-method", measure: Measure = "a-measure"
) -> tmi.ProbeResult:
    """Read."""
    maps = method.function(None, None, None, **method.params)
    scores = measure.function(None, None, **measure.params)
    values = {"dataset": data.notes["value"], "network": float(network.module[1].bias[0]), "probe": value(file)}
    return tmi.ProbeResult({**values, "method": maps, "measure": scores})


def method(module, images, targets, *, file: KIND | None = None):
    """Read."""
    return value(file)


def measure(maps, truth, *, file: KIND | None = None):
    """Read."""
    return value(file)
'''

HOOKS = ("dataset", "network", "probe", "method", "measure")


def plugin(folder: Path, reader: str, kind: str) -> Path:
    """Write the plug-in; ``kind`` is the annotation of the settings that name a file, ``"str"`` or ``"Path"``."""
    file = folder / "reading.py"
    file.write_text(PLUGIN.replace("BODY", READERS[reader].body).replace("KIND", kind))
    return file


def suite(plugin_file: Path, hook: str, path: Path | str) -> Path:
    """Write a suite in which one function reads a file."""
    tables = {kind: f'[{kind}s.x]\nuse = "a-{kind}"\n' for kind in HOOKS[:3]}
    if hook in tables:
        tables[hook] += f'file = "{path}"\n'
    else:
        tables["probe"] += f"{hook} = \"a-{hook}(file='{path}')\"\n"
    file = plugin_file.with_name("reading.toml")
    file.write_text('plugins = ["reading.py"]\n' + "".join(tables.values()))
    return file
