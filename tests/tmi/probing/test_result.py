from __future__ import annotations

import numpy as np
import pytest
import torch

from tmi import InputError, LabelledArray, MetricInfo, ProbeResult, UnknownNameError


def test_metrics_become_floats():
    result = ProbeResult(
        {
            "a": 1,
            "b.hidden": np.float32(0.5),
            "c": torch.tensor(2),
            "d": np.array(3.0),
            "e": torch.nn.Parameter(torch.tensor(4.0)),
        }
    )
    assert result.metrics == {"a": 1.0, "b.hidden": 0.5, "c": 2.0, "d": 3.0, "e": 4.0}
    assert all(type(value) is float for value in result.metrics.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("-inf")), np.float32("nan"), 10**400])
def test_metrics_are_finite(value):
    with pytest.raises(InputError, match=r"metric 'a': is .*leave out"):
        ProbeResult({"a": value})


@pytest.mark.parametrize("value", ["1", None, 1j, [1.0], np.ones(1), torch.ones(2)])
def test_metrics_are_numbers(value):
    with pytest.raises(InputError, match="metric 'a': expected a number"):
        ProbeResult({"a": value})


@pytest.mark.parametrize("name", ["", "a/b", ".a", "header", "metrics", "metric", 3, None])
def test_names_can_be_stored(name):
    for parts in (({name: 1.0},), ({}, {name: ("x", [1.0])}), ({}, {"a": ((name,), [1.0])})):
        with pytest.raises(InputError, match="cannot be stored"):
            ProbeResult(*parts)


def test_arrays():
    result = ProbeResult(
        {},
        {
            "map": (("image", "row"), torch.ones(2, 3, requires_grad=True)),
            "names": ("image", ["x", "yy"]),
            "one": ((), 5),
            "kept": LabelledArray(("row",), np.zeros(3)),
        },
        {"image": ["first", "second"]},
    )
    assert result.arrays["map"].dims == ("image", "row")
    assert result.arrays["map"].shape == (2, 3)
    assert result.arrays["names"].values.dtype.kind == "U"
    assert result.arrays["one"].shape == ()
    assert result.coords["image"].tolist() == ["first", "second"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones((2, 3))}, "axes, but the names are|cannot be stored"),
        ({"a": np.ones((2, 1))}, "cannot be stored"),
        ({"a": 3}, "expected .names of the axes, values., got int"),
        ({"a": (("x",), np.ones((2, 2)))}, "2 axes, but the names are"),
        ({"a": (("x", "x"), np.ones((2, 2)))}, "2 axes, but the names are"),
        ({"a": ("x", [object()])}, "expected numbers, booleans or strings"),
        ({"a": ("x", [b"bytes"])}, "expected numbers, booleans or strings"),
        ({"a": ("x", [1j])}, "expected numbers, booleans or strings"),
        ({"a": ("x", [1, 2]), "b": ("x", [1])}, "axis 'x' is 1 long, elsewhere 2"),
        ({"x": ("x", [1, 2])}, "has the name of an axis"),
    ],
)
def test_bad_arrays(arrays, message):
    with pytest.raises(InputError, match=message):
        ProbeResult({}, arrays)


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        ({"rows": [1, 2]}, 'no array has an axis of this name; did you mean "row"'),
        ({"row": [1]}, r"expected 2 labels, got shape \(1,\)"),
        ({"row": [[1, 2]]}, r"expected 2 labels, got shape \(1, 2\)"),
        ({"row": [None, 1]}, "expected numbers, booleans or strings"),
    ],
)
def test_bad_coords(coords, message):
    with pytest.raises(InputError, match=message):
        ProbeResult({}, {"a": ("row", [1.0, 2.0])}, coords)


def test_info_describes_metrics_by_the_part_before_the_dot():
    info = MetricInfo("share of test images", "higher", 0, 1)
    result = ProbeResult({"accuracy": 0.5, "active.hidden": 1.0}, info={"accuracy": info})
    assert result.describe("accuracy") is result.describe("accuracy.train") is info
    assert result.describe("active.hidden") is None
    with pytest.raises(InputError, match="info 'acuracy': there is no metric of this name; did you mean \"accuracy\""):
        ProbeResult({"accuracy": 0.5}, info={"acuracy": info})


def test_notes():
    assert ProbeResult({}, notes="one").notes == ("one",)
    assert ProbeResult({}, notes=["one", "two"]).notes == ("one", "two")


def test_repr_is_short():
    text = repr(ProbeResult({f"m{i}": i / 3 for i in range(9)}, {"a": ("x", [1])}))
    assert "… 3 more" in text
    assert "arrays: a" in text


def test_is_an_array():
    array = LabelledArray(("x",), np.arange(3))
    assert np.asarray(array) is array.values
    assert np.array(array) is not array.values
    assert np.asarray(array, dtype=float).dtype == float
    assert np.mean(array) == 1.0


def test_to_xarray():
    pytest.importorskip("xarray")
    result = ProbeResult(
        {"m": 1.0}, {"map": (("image", "row"), np.arange(6.0).reshape(2, 3)), "one": ((), 5)}, {"image": ["x", "y"]}
    )
    data = result.to_xarray()
    assert data["map"].sel(image="y").values.tolist() == [3.0, 4.0, 5.0]
    assert data["one"].item() == 5
    assert data["metrics"].sel(metric="m").item() == 1.0
    assert data["row"].values.tolist() == [0, 1, 2]  # an axis without labels


def test_to_xarray_says_what_metrics_mean():
    pytest.importorskip("xarray")
    info = {"m": MetricInfo("a share", "higher", 0, 1), "n": MetricInfo("a distance", low=0, unit="pixels")}
    data = ProbeResult({"m.a": 1.0, "n": 2.0}, info=info, notes=["one", "two"]).to_xarray()
    assert data["metrics"].attrs == {
        "meaning.m": "a share (higher is better; from 0 to 1)",
        "meaning.n": "a distance (pixels; from 0)",
    }
    assert data.attrs == {"notes": "one\ntwo"}
    assert MetricInfo("text").line == "text"


def test_by_name():
    result = ProbeResult({"accuracy": 0.5}, {"logits": ("x", [1, 2])})
    assert result["accuracy"] == 0.5
    assert result["logits"] is result.arrays["logits"]
    assert list(result) == ["accuracy", "logits"]
    assert "accuracy" in result
    assert "accurracy" not in result
    assert result  # one without metrics too: it has no length
    with pytest.raises(UnknownNameError, match="no metric and no array 'acuracy'; did you mean \"accuracy\""):
        result["acuracy"]


def test_an_array_is_one_line():
    assert repr(LabelledArray(("x", "y"), np.arange(6.0).reshape(2, 3))) == "LabelledArray((x: 2, y: 3) float64: 0, 1, 2, …)"
    assert repr(LabelledArray(("x",), np.zeros(0))) == "LabelledArray((x: 0) float64, empty)"
    assert repr(LabelledArray((), np.array(True))) == "LabelledArray(() bool: 1)"
    assert len(repr(LabelledArray(("x",), np.array(["a" * 1000])))) < 100


def test_not_applicable():
    result = ProbeResult.not_applicable("a trained network has no certificate")
    assert (result.metrics, result.arrays, result.notes) == ({}, {}, ("a trained network has no certificate",))
    assert not result.applicable
    assert "not applicable: a trained network has no certificate" in repr(result)
    assert ProbeResult({"a": 1.0}).applicable
    assert ProbeResult({}, {"a": (("x",), [1.0])}).applicable
    for reason in ("", "  ", None, 3):
        with pytest.raises(InputError, match="give the reason"):
            ProbeResult.not_applicable(reason)
