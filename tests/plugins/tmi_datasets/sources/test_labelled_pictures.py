"""Labelled pictures: the order of classes, and what a CSV may hold; every refusal is one line that names the file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tmi
from tmi_datasets.sources.labelled_pictures import files_of_csv, find

NUMBERS = ("10", "9", "-1", "2.5", "02")


@pytest.fixture
def numbered(tmp_path):
    """A folder of pictures for each class, whose names are numbers."""
    for name in NUMBERS:
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("L", (3, 3), 40 + len(name)).save(tmp_path / "in" / name / "x.png")
    return tmp_path


def write(folder, lines):
    file = folder / "list.csv"
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize("form", ["folders", "csv", "npz"])
def test_classes_that_are_numbers_are_sorted_by_value(numbered, form):
    path = numbered / "in"
    if form == "csv":
        path = write(numbered, ["file,class", *(f"in/{name}/x.png,{name}" for name in NUMBERS)])
    elif form == "npz":
        path = numbered / "x.npz"
        np.savez(path, images=np.zeros((5, 2, 2)), labels=np.array(NUMBERS))
    pictures = find(path)
    assert pictures.format == form
    assert pictures.class_names == ("-1", "02", "2.5", "9", "10")
    if form != "npz":
        assert [Path(file).parent.name for file in pictures.names] == [pictures.class_names[i] for i in pictures.labels]


def test_other_names_are_sorted_as_text(numbered):
    (numbered / "in" / "2.5").rename(numbered / "in" / "b")
    assert find(numbered / "in").class_names == ("-1", "02", "10", "9", "b")


def test_spaces_around_the_fields_of_a_csv_do_not_count(numbered):
    file = write(numbered, ["file , class", "in/9/x.png ,9", ' "in/10/x.png", 10 '])
    assert files_of_csv(file) == [(numbered / "in/9/x.png", "9"), (numbered / "in/10/x.png", "10")]


def test_files_of_a_csv_are_named_from_its_folder(numbered, monkeypatch):
    absolute = ["file,class", f"{numbered}/in/9/x.png,9", "in/../in/10/x.png,10"]
    monkeypatch.chdir(numbered)
    small = {"samples": 1, "test_samples": 1, "epsilon": 0.01}
    for path in (file := write(numbered, absolute), file.relative_to(numbered)):
        assert tmi.generate("folder", path=path, **small).notes["tile_pictures"] == ["in/9/x.png", "in/10/x.png"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,class,class", "in/9/x.png,9,8"], "list.csv: has 2 columns class"),
        (["file,class", "in/9/x.png,9,8"], "list.csv, line 2: has 3 fields, more than the 2 columns of the first line"),
        (["file,class", "in/9/x.png,9", "in/10/../9/x.png,10"], "list.csv: names .*9/x.png more than once"),
        (["file,class", "in/9/x.png, "], "list.csv, line 2: names no class"),
        (["file,class", f"{'x' * 5000},9"], "list.csv: cannot be read as CSV .*File name too long"),
        (["file,class", "in,9"], "list.csv, line 2: there is no file .*in"),
    ],
)
def test_a_bad_csv_is_named(numbered, lines, message):
    with pytest.raises(tmi.DataFileError, match=message) as caught:
        find(write(numbered, lines))
    assert "\n" not in str(caught.value)


def test_a_link_to_no_folder_is_no_class(numbered):
    (numbered / "in" / "11").symlink_to("nowhere")
    with pytest.raises(tmi.DataFileError, match="in/11: is a link to nothing"):
        find(numbered / "in")


def test_what_is_no_file_is_not_opened(numbered):
    (numbered / "in" / "9" / "y.png").symlink_to("nowhere")
    with pytest.raises(tmi.DataFileError, match=r"in/9/y.png: is no picture"):
        find(numbered / "in")


def test_a_folder_that_may_not_be_read_is_named(numbered, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(tmi.DataFileError, match=r"in: cannot be read \(Permission denied\)"):
        find(numbered / "in")
