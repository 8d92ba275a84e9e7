from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest

from tmi import InputError, PluginError, params
from tmi.params import Count, Index, NotNegative, Parameter, Positive, Share

if TYPE_CHECKING:
    from nowhere import Dataset, Network  # type: ignore[import-not-found]


def example(
    network: Network,
    data: Dataset,
    *,
    seed: int,
    share: Share = 0.5,
    steps: Count = 3,
    method: Literal["a", "b"] = "a",
    sizes: list[int] = [1, 2],  # noqa: B006
    folder: str | None = None,
    inferred=True,
    rate: Positive,
) -> Dataset:
    """Do something.

    More of it.

    Parameters
    ----------
    network, data : objects
        Not settings.
    share
        A share of
        something.
    steps, rate : numbers
        Two at once.

    method : {"a", "b"}
        Which: a or b.

        With a second paragraph.

    Returns
    -------
    Dataset
        Not a parameter.
    """


def given(kind: Any, value: Any) -> Any:
    return params.check_value(Parameter("p", kind, params.REQUIRED), value)


def test_schema_comes_from_the_signature():
    schema = params.parameters(example)
    assert list(schema) == ["share", "steps", "method", "sizes", "folder", "inferred", "rate"]
    assert schema["rate"].required
    assert not schema["folder"].required
    assert schema["folder"].default is None
    assert {name: p.type_text for name, p in schema.items()} == {
        "share": "float ≥ 0, ≤ 1",
        "steps": "int ≥ 1",
        "method": '"a" | "b"',
        "sizes": "list[int]",
        "folder": "str | none",
        "inferred": "bool",
        "rate": "float > 0",
    }
    assert {name: p.text for name, p in schema.items()} == {
        "share": "A share of something.",
        "steps": "Two at once.",
        "method": "Which: a or b. With a second paragraph.",
        "sizes": "",
        "folder": "",
        "inferred": "",
        "rate": "Two at once.",
    }
    assert params.takes_seed(example)
    assert not params.takes_seed(lambda *, rate: None)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float | None, 3, 3.0),
        (float | None, None, None),
        (Count, 1, 1),
        (Index, 0, 0),
        (Share, 0, 0.0),
        (Share, 1, 1.0),
        (NotNegative, 0.0, 0.0),
        (bool, False, False),
        (list[int], [1, 2], [1, 2]),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (Literal["a", 2], 2, 2),
        (str, "", ""),
        (Annotated[str, msgspec.Meta(min_length=2)], "ab", "ab"),
    ],
)
def test_values_that_fit(kind, value, expected):
    found = given(kind, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, True),
        (int, "2"),
        (int, 2.0),
        (int, None),
        (float, True),
        (float, "1.5"),
        (float, float("nan")),
        (float, float("inf")),
        (float | None, float("nan")),
        (Positive, float("inf")),
        (Positive, 0),
        (NotNegative, -1e-9),
        (Share, 1.0000001),
        (Share, float("nan")),
        (Count, 0),
        (Index, -1),
        (bool, 1),
        (bool, "true"),
        (str, 1),
        (Literal["a", "b"], "c"),
        (Literal["a", "b"], 1),
        (list[int], [1, True]),
        (list[int], ["1"]),
        (list[int], 1),
        (list[float], [1.0, float("nan")]),
        (tuple[float, ...], [float("inf")]),
        (dict[str, list[float]], {"a": [float("-inf")]}),
        (Annotated[list[Count], msgspec.Meta(min_length=1)], []),
    ],
)
def test_values_that_do_not(kind, value):
    with pytest.raises(InputError) as caught:
        given(kind, value)
    assert "`" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_messages_say_what_was_given():
    with pytest.raises(InputError, match=r"^expected int, got str \(given: '2'\)$"):
        given(int, "2")
    with pytest.raises(InputError, match=r"^expected float <= 1.0 \(given: 2.5\)$"):
        given(Share, 2.5)


def test_all_problems_at_once():
    values, problems = params.check(example, {"shar": 1, "steps": 0, "method": "c", "seed": 3}, "thing")
    assert [problem.partition(":")[0] for problem in problems] == ["shar", "seed", "steps", "method", "rate"]
    assert problems[0] == "shar: 'thing' has no such parameter; did you mean \"share\"?"
    assert problems[-1] == "rate: 'thing' needs this parameter (float > 0)"
    assert values["share"] == 0.5


def test_defaults_are_filled_in_in_the_order_of_the_signature():
    values, problems = params.check(example, {"rate": 2, "share": 1})
    assert not problems
    assert list(values) == list(params.parameters(example))
    assert values["rate"] == 2.0
    assert type(values["share"]) is float


def test_a_default_is_converted_like_a_given_value():
    def f(*, rate: float = 5, sizes: tuple[int, ...] = [1]): ...

    default, _ = params.check(f, {})
    explicit, _ = params.check(f, {"rate": 5, "sizes": [1]})
    assert repr(default) == repr(explicit) == "{'rate': 5.0, 'sizes': (1,)}"


def test_a_call_cannot_change_the_default():
    values, _ = params.check(example, {"rate": 1})
    values["sizes"].append(3)
    assert params.check(example, {"rate": 1})[0]["sizes"] == [1, 2]


def test_bad_signatures_name_the_function():
    def missing(*, steps): ...

    def none(*, steps=None): ...

    def unresolved(*, steps: Nothing): ...  # type: ignore[name-defined]  # noqa: F821

    def wrong_default(*, steps: int = None): ...  # noqa: RUF013

    def unchecked(*, steps: list[int] | tuple[int, ...] = [1]): ...  # noqa: B006

    for function, message in (
        (missing, "missing: parameter 'steps' needs an annotation"),
        (none, "none: parameter 'steps' needs an annotation"),
        (unresolved, "unresolved: the annotation of a parameter cannot be resolved .*Nothing"),
        (wrong_default, "wrong_default: the default of parameter 'steps' is not of its type"),
        (unchecked, "its type .* cannot be checked"),
    ):
        with pytest.raises(PluginError, match=message):
            params.parameters(function)


def test_decorated_and_callable_objects():
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    class Thing:
        def __call__(self, *, steps: Count = 2) -> None: ...

    assert list(params.parameters(decorate(example))) == list(params.parameters(example))
    assert params.parameters(Thing())["steps"].default == 2
    assert params.parameters(functools.partial(example, rate=1.0))["steps"].default == 3


def test_no_settings():
    assert params.parameters(lambda data, seed=0, *args, **kwargs: None) == {}


def from_source(*, module: params.Source) -> None: ...


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("net.py:make", "net.py", "make"),
        ("a/net.py:Group.make", "a/net.py", "Group.make"),
        ("package.module:Net", None, "package.module:Net"),
        ("net.onnx", "net.onnx", ""),
        ("a.b/net.pt2", "a.b/net.pt2", ""),
    ],
)
def test_sources(text, path, name):
    values, problems = params.check(from_source, {"module": text}, "f")
    source = values["module"]
    assert problems == []
    assert (source.path and str(source.path), source.name) == (path, name)
    assert params.as_text(values) == {"module": text}
    assert params.check(from_source, {"module": source}, "f")[0] == values
    moved = params.map_paths(source, lambda path: Path("/there") / path)
    assert moved == (source if path is None else params.Source(Path("/there") / path, name))
    assert params.has_path(source) == (path is not None)


@pytest.mark.parametrize("value", ["net.py", "net", "", 3, "net.py:1", "a b:c"])
def test_what_is_no_source(value):
    _, (problem,) = params.check(from_source, {"module": value}, "f")
    assert problem.startswith("module: expected ")
