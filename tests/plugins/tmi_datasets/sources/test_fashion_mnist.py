import gzip
import hashlib
import subprocess
import sys
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets

from tmi.errors import DataFileError
from tmi_datasets.sources import fashion_mnist
from tmi_datasets.sources.fashion_mnist import CHECKSUMS, SYSTEM_FOLDERS, Source, load, locate
from tmi_datasets.sources.idx import decode, encode, read_content
from tmi_datasets.sources.shipped import shipped

SAMPLE = shipped("fashion-mnist")
IMAGES, LABELS = CHECKSUMS["full"]
TINY = np.arange(20 * 784, dtype=np.uint32).reshape(20, 28, 28).astype(np.uint8), np.arange(20, dtype=np.uint8) % 10


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without the full set."""
    monkeypatch.delenv(fashion_mnist.VARIABLE, raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDERS", (tmp_path / "share",))


@pytest.fixture
def tiny(monkeypatch, nowhere):
    """Twenty images that pass for the full set; a function that writes them to a folder."""
    contents = [encode(array) for array in TINY]
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in zip(CHECKSUMS["full"], contents, strict=True)}
    monkeypatch.setitem(CHECKSUMS, "full", sums)

    def write(folder, zipped=True):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(sums, contents, strict=True):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    return write


def full_set():
    try:
        return locate("full")
    except DataFileError:
        pytest.skip("the full Fashion-MNIST is not installed here")


def test_sample_is_a_hundred_images_of_each_class():
    images, labels = load(locate("sample"))
    assert images.shape == (1000, 28, 28)
    assert np.bincount(labels).tolist() == [100] * 10


def test_sample_has_the_published_checksums():
    lines = [line.split() for line in (SAMPLE / "SHA256SUMS").read_text().splitlines()]
    assert [name for _, name in lines] == [f"{name}.gz" for name in CHECKSUMS["sample"]]
    for checksum, name in lines:
        assert hashlib.sha256((SAMPLE / name).read_bytes()).hexdigest() == checksum
    readme = (SAMPLE / "README.md").read_text()
    for name, checksum in (CHECKSUMS["sample"] | CHECKSUMS["full"]).items():
        assert f"`{checksum}`" in next(line for line in readme.splitlines() if f"`{name}`" in line)


def test_sample_is_the_first_of_the_full_set():
    images, labels = load(full_set())
    first = np.sort(np.concatenate([np.flatnonzero(labels == label)[:100] for label in range(10)]))
    sample_images, sample_labels = load(locate("sample"))
    np.testing.assert_array_equal(sample_images, images[first])
    np.testing.assert_array_equal(sample_labels, labels[first])


def test_the_script_makes_the_sample(tmp_path):
    source = full_set()
    script = [sys.executable, str(SAMPLE / "make_sample.py"), str(source.folder), str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True)
    for name, checksum in CHECKSUMS["sample"].items():
        assert hashlib.sha256(read_content(tmp_path / f"{name}.gz")).hexdigest() == checksum


def test_without_the_full_set_auto_is_the_sample(nowhere):
    assert locate("auto") == locate("sample") == Source("sample", SAMPLE)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_full_set_is_found(tiny, tmp_path, monkeypatch, zipped):
    folder = tiny(tmp_path / "mine", zipped)
    assert locate(str(folder)) == Source("full", folder)
    monkeypatch.setenv(fashion_mnist.VARIABLE, str(folder))
    assert locate("auto") == locate("full") == Source("full", folder)
    assert locate("sample").content == "sample"
    for found, expected in zip(load(locate("auto")), TINY, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_system_folder_is_searched_after_the_variable(tiny, tmp_path, monkeypatch):
    share = tiny(tmp_path / "share")
    assert locate("auto") == Source("full", share)
    named = tiny(tmp_path / "named")
    monkeypatch.setenv(fashion_mnist.VARIABLE, str(named))
    assert locate("auto") == Source("full", named)


def test_half_a_system_folder_does_not_count(tiny, tmp_path):
    share = tiny(tmp_path / "share")
    (share / f"{LABELS}.gz").unlink()
    assert locate("auto").content == "sample"


def test_a_variable_that_names_no_full_set_is_an_error(nowhere, tmp_path, monkeypatch):
    monkeypatch.setenv(fashion_mnist.VARIABLE, str(tmp_path))
    for source in ("auto", "full"):
        with pytest.raises(DataFileError, match=f"^TMI_FASHION_MNIST={tmp_path}: .* holds no {IMAGES} and no {LABELS}"):
            locate(source)
    assert locate("sample").content == "sample"


def test_full_but_not_found_says_where_it_looked_and_how_to_get_it(nowhere, tmp_path):
    with pytest.raises(DataFileError) as caught:
        locate("full")
    for part in (str(tmp_path / "share"), "dataset-fashion-mnist", "TMI_FASHION_MNIST", '"openml"'):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "what"), [("smaple", 'did you mean "sample"'), ("", "is no folder"), ("a/b", "is no folder")])
def test_a_source_that_is_neither_word_nor_folder(source, what):
    with pytest.raises(DataFileError, match=what):
        locate(source)


def test_damaged_files_are_refused(tiny, tmp_path):
    good = encode(TINY[0])
    damaged = {
        "truncated": (good[:-1], "is truncated"),
        "flipped": (good[:99] + bytes([good[99] ^ 1]) + good[100:], "is not the file of Fashion-MNIST"),
        "foreign": (encode(TINY[0][:3]), "is not the file of Fashion-MNIST"),  # well formed, of something else
        "text": (b"hello world", "is no IDX file"),
    }
    for name, (content, what) in damaged.items():
        folder = tiny(tmp_path / name, zipped=False)
        (folder / IMAGES).write_bytes(content)
        with pytest.raises(DataFileError, match=what) as caught:
            load(locate(str(folder)))
        assert str(folder / IMAGES) in str(caught.value)
    folder = tiny(tmp_path / "zip")
    (folder / f"{LABELS}.gz").write_bytes((folder / f"{LABELS}.gz").read_bytes()[:-3])
    with pytest.raises(DataFileError, match=f"{LABELS}.gz: is not a whole gzip file"):
        load(locate(str(folder)))


def test_the_sample_does_not_pass_for_the_full_set(tmp_path):
    for full, sample in zip(CHECKSUMS["full"], CHECKSUMS["sample"], strict=True):
        (tmp_path / f"{full}.gz").write_bytes((SAMPLE / f"{sample}.gz").read_bytes())
    with pytest.raises(DataFileError, match="is not the file of Fashion-MNIST"):
        load(locate(str(tmp_path)))


def test_openml(tiny, monkeypatch):
    asked = []

    def fetch(name, **how):
        asked.append((name, how))
        return TINY[0].reshape(20, 784).astype(float), TINY[1].astype(str).astype(object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    for found, expected in zip(load(locate("openml")), TINY, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert asked == [("Fashion-MNIST", {"version": 1, "as_frame": False, "return_X_y": True})]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (URLError("no route\nto host"), r"could not be fetched from OpenML \(URLError: .*no route to host"),
        ((np.zeros((5, 3)), np.zeros(5)), "could not be fetched from OpenML"),
        ((np.zeros((5, 784)), np.array(["shoe"] * 5)), "could not be fetched from OpenML"),
        ((np.zeros((5, 784)), np.zeros(5)), "OpenML's train-images-idx3-ubyte: is not the file"),
    ],
)
def test_openml_that_fails_is_one_clear_line(monkeypatch, answer, what):
    def fetch(*_, **__):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(DataFileError, match=what) as caught:
        load(locate("openml"))
    assert "\n" not in str(caught.value)


def test_identity_names_the_content_and_not_the_folder(tiny, tmp_path):
    one, two = (locate(str(tiny(tmp_path / name))) for name in ("a", "b"))
    assert one.identity == two.identity == locate("openml").identity
    assert one.identity != locate("sample").identity


def test_system_folders_are_those_of_the_package():
    assert [str(folder) for folder in SYSTEM_FOLDERS] == [
        "/usr/share/datasets/fashion-mnist",
        "/usr/local/share/datasets/fashion-mnist",
    ]


def test_shipped_files_are_plain_idx():
    name, _ = CHECKSUMS["sample"]
    assert decode(read_content(SAMPLE / f"{name}.gz"), name).shape == (1000, 28, 28)
