"""Operations as torch dispatches them: modules, functions, methods and in-place forms are all the same there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class OperationMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The base of classes that see, inside a ``with`` block, every operation that is evaluated."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would import its compiler, which takes a second, to keep it away from a class that it never compiles.
        return False


def name_of(operation: Any) -> str:
    """Return the name of an ATen operation, the same for its in-place form: ``"relu"``."""
    name: str = operation._schema.name
    return name.partition("::")[2].rstrip("_")


def arguments_of(operation: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an ATen operation by name, defaults included."""
    declared = operation._schema.arguments
    defaults = {a.name: a.default_value for a in declared if a.has_default_value()}
    return defaults | dict(zip((a.name for a in declared), args, strict=False)) | kwargs
