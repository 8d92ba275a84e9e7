"""``tmi data``: what is listed, downloaded, verified and drawn."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import tmi
from tests.tmi.cli.calls import call
from tmi_datasets.sources import fashion_mnist
from tmi_datasets.sources.idx import decode, read_content
from tmi_datasets.sources.shipped import shipped


@pytest.fixture
def no_full_set(monkeypatch):
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDERS", ())
    monkeypatch.delenv(fashion_mnist.VARIABLE, raising=False)


@pytest.mark.usefixtures("folder", "no_full_set")
def test_list_names_generators_and_their_files():
    lines = call("data", "list", "--plugin", "toys.py").stdout.splitlines()
    assert any(line.split()[:2] == ["toy-data", "Draw"] for line in lines)
    for name in tmi.names("dataset"):
        assert any(line.split()[0] == name for line in lines)
    start = next(i for i, line in enumerate(lines) if line.split()[0] == "fashion")
    assert str(shipped("fashion-mnist")) in lines[start + 1]
    assert lines[start + 2].endswith("the full set, 60,000 images: not found; tmi data fetch fashion")


@pytest.mark.usefixtures("no_full_set")
def test_list_as_json():
    rows = {row["name"]: row for row in json.loads(call("data", "list", "--json", "-").stdout)}
    assert sorted(rows) == tmi.names("dataset")
    assert [(file["place"], file["can_be_fetched"]) for file in rows["fashion"]["files"]] == [
        (str(shipped("fashion-mnist")), False), (None, True),
    ]  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_verify_finds_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setenv(fashion_mnist.VARIABLE, "")
    for name in ("cutouts", "fashion-mnist"):
        shutil.copytree(shipped(name), tmp_path / "data" / name)
    for module in ("tmi_datasets.cutouts", "tmi_datasets.sources.fashion_mnist"):
        monkeypatch.setattr(f"{module}.shipped", lambda name: tmp_path / "data" / name)
    assert call("data", "verify").stdout.count(" is ok\n") >= 2
    assert call("data", "verify", "digits").stdout == ""
    picture = tmp_path / "data" / "cutouts" / "cat" / "tabby.png"
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    (tmp_path / "data" / "fashion-mnist" / "sample-labels-idx1-ubyte.gz").write_bytes(b"")
    done = call("data", "verify", code=1)
    assert "problem: cutouts: " in done.stderr
    assert "cat/tabby.png: is not the picture that ships with tmi" in done.stderr
    assert "sample-labels-idx1-ubyte" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    rows = json.loads(call("data", "verify", "cutouts", "fashion", "--json", "-", code=1).stdout)
    assert [bool(row["problem"]) for row in rows] == [True, True, False]
    assert rows[2]["place"] is None  # the full set is not here
    assert call("data", "verify", "cutout", code=2).stderr == "error: dataset 'cutout' is unknown; did you mean \"cutouts\"?\n"


@pytest.mark.usefixtures("no_full_set")
def test_fetch_checks_what_it_gets(monkeypatch, tmp_path):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    files = sorted(shipped("fashion-mnist").glob("*.gz"))
    images, labels = (decode(read_content(file), file) for file in files)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: (images.reshape(len(images), -1), labels))
    done = call("data", "fetch", code=2)  # the sample is not the full set
    assert "is not the file of Fashion-MNIST" in done.stderr
    sample = dict(zip(fashion_mnist.CHECKSUMS["full"], fashion_mnist.CHECKSUMS["sample"].values(), strict=True))
    monkeypatch.setitem(fashion_mnist.CHECKSUMS, "full", sample)
    assert f'checked, and kept in {tmp_path}; choose it by source = "openml"' in call("data", "fetch", "fashion").stdout
    assert "cannot be downloaded" in call("data", "fetch", "cutouts").stdout


def test_show_draws_images_of_each_class(folder):
    for name, seed in (("a", 0), ("b", 1)):
        (folder / "pictures" / name).mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / name / "x.png")
        Image.fromarray(255 - pixels).save(folder / "pictures" / name / "y.png")
    settings = (
        "--set",
        "path=pictures",
        "--set",
        "samples=8",
        "--set",
        "test_samples=2",
        "--set",
        'background="constant(grey=0.5)"',
    )
    assert call("data", "show", "folder", *settings).stdout == "folder.png\n"
    with Image.open("folder.png") as drawn:
        colours = {(r, g, b) for _, (r, g, b, *_) in drawn.convert("RGB").getcolors(1 << 24)}
    assert {(0, 0x72, 0xB2), (128, 128, 128)} <= colours  # outlines, and the background
    plain = ("--set", "path=pictures", "--set", "tiles=false", "--set", "test_share=0.5", "--out", "plain.png")
    assert call("data", "show", "folder", *plain).stdout == "plain.png\n"
    with Image.open("plain.png") as drawn:
        assert (0, 0x72, 0xB2) not in {colour[:3] for _, colour in drawn.convert("RGB").getcolors(1 << 24)}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folders"], "dataset 'folders' is unknown; did you mean \"folder\"?"),
        (["folder"], "path: 'folder' needs this parameter"),
        (["squares", "--set", "sample=3"], 'did you mean "samples"?'),
        (["squares", "--set", "samples"], "--set samples: expected NAME=VALUE, such as samples=100"),
        (["squares", "--set", "samples=many"], "samples: expected int"),
        (["squares", "--out", "none/x.png"], "none: there is no such folder"),
    ],
)
def test_bad_calls(arguments, message):
    assert message in call("data", "show", *arguments, code=2).stderr
