"""Keys of data sets, networks and results: hashes of everything that the stored numbers depend on.

A key covers the name of a function, its settings with defaults, the seed, its code (see `tmi.plugins.fingerprint`), the external
inputs that it declares with `tmi.external`, the same for each method and measure that its settings name, the versions of the
libraries, and the keys of its inputs. Of a setting that is a path, the content of the file or folder is part of the key, and the
path is not. A setting that names a component is part of the key as it is written, so that of ``"natural(folder='pictures')"`` the
path counts besides the content: a stored data set renders its backgrounds from that path. Nothing else is part of a key: not the
device, the number of workers, the store, the report or the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tmi.errors import MissingPathError, PluginError, SuiteError, TmiError
from tmi.hashing import digest
from tmi.params import Source, has_path, map_paths
from tmi.plugins.component import Component
from tmi.plugins.fingerprint import core_fingerprint, fingerprint, forget_changed, own_code, source_of, versions
from tmi.plugins.inputs import with_absolute_paths
from tmi.plugins.references import Reference
from tmi.plugins.registry import Registry
from tmi.stages import Stage

from .content import content_of
from .suite import Cell, Choice

FORMAT = 1
"""Increased when stored numbers change their meaning without a change of code, so that old files are not read as new ones."""


def make_key(
    stage: Stage, name: str, code: str, params: Mapping[str, Any], seed: int, upstream: Mapping[Stage, str], outside: Any = None
) -> str:
    """Return the key of a data set, a network or a result.

    Parameters
    ----------
    stage : Stage
    name : str
        The registered name of the function.
    code : str
        The fingerprint of its code.
    params : mapping
        All its settings, defaults included.
    seed : int
    upstream : mapping of Stage to str
        The keys of its inputs: for a network the key of its data set, for a result those of the data set and the network.
    outside : object
        The external inputs that it declares, and the components that its settings name, as JSON-compatible values.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError, ValueError
        If ``params`` or ``outside`` cannot be written as JSON.
    """
    return digest(
        {
            "format": FORMAT,
            "kind": stage.product,
            "name": name,
            "code": code,
            "core": core_fingerprint(),
            "versions": versions(),
            "params": dict(params),
            "seed": seed,
            "outside": outside,
            **upstream,
        }
    )


class _Inputs(NamedTuple):
    """The settings of a choice, as its function gets them and as they are in the key, with the components that they name."""

    references: list[Reference]
    values: dict[str, Any]
    params: dict[str, Any]
    uses_params: list[dict[str, Any]]


class Keys:
    """Computes the keys of cells; each key of a data set or network is computed once.

    Parameters
    ----------
    registry : Registry
        Looks up the methods and measures that settings name.
    contents : mapping of str to str, optional
        Digests of the content of files and folders by path, where they are known; see `tmi.suites.content`.

    Attributes
    ----------
    contents : dict of str to str
        The digest of the content of each path that is part of a key; each is taken once.
    """

    def __init__(self, registry: Registry, contents: Mapping[str, str] | None = None) -> None:
        self._registry = registry
        self.contents = dict(contents or {})
        self._keys: dict[tuple[object, ...], str | None] = {}
        self._choices: list[Choice] = []
        self._outside: dict[int, object] = {}
        self._inputs: dict[int, _Inputs] = {}
        self._code: dict[int, tuple[Component, str | None]] = {}

    def of(self, cell: Cell) -> tuple[str | None, str | None, str | None]:
        """Return the keys of a cell's data set, network and result.

        A key is None if the code cannot be fingerprinted, for example that of a function typed at a prompt.

        Raises
        ------
        SuiteError
            If a function's external inputs cannot be identified, a file is missing that a setting names, or settings cannot be
            written as JSON.
        """
        dataset = self.key(cell.dataset, cell.seed)
        network = self.key(cell.network, cell.seed, dataset)
        return dataset, network, self.key(cell.probe, cell.seed, dataset, network)

    def key(self, choice: Choice, seed: int, *upstream: str | None) -> str | None:
        """Return the key of one choice; ``upstream`` holds the keys of the stages before it, in order."""
        request = (id(choice), seed, *upstream)
        if request not in self._keys:
            self._choices.append(choice)  # a reference is kept, so that no other object gets this id
            self._keys[request] = self._compute(choice, seed, upstream)
        return self._keys[request]

    def _compute(self, choice: Choice, seed: int, upstream: tuple[str | None, ...]) -> str | None:
        references, values, params, uses_params = self._inputs_of(choice)
        code = self._code_of(choice.component)
        codes = [self._code_of(reference.component) for reference in references]
        upstream_keys = {stage: key for stage, key in zip(Stage, upstream, strict=False) if key is not None}
        if code is None or None in codes or len(upstream_keys) < len(upstream):
            return None
        try:
            outside = self._outside_of(choice, values)
            if references:  # name, settings, code and external inputs of each named component are part of the key as well
                uses = [
                    [
                        reference.component.kind,
                        reference.component.name,
                        used_params,
                        reference_code,
                        _identify(f"{reference.component.kind} {reference.text}", reference.component, reference.params),
                    ]
                    for reference, used_params, reference_code in zip(references, uses_params, codes, strict=True)
                ]
                outside = {"outside": outside, "uses": uses}
            return make_key(Stage(choice.kind), choice.component.name, code, params, seed, upstream_keys, outside)
        except (TypeError, ValueError) as error:  # a date or a set in the settings, or in what `tmi.external` returned
            message = f"its settings or its external inputs cannot be written as JSON ({error})"
            raise SuiteError([f"{choice.kind} {choice}: {message}"]) from error

    def _code_of(self, component: Component) -> str | None:
        if id(component) not in self._code:
            code = component.fingerprint()
            # A module may define several functions, and only one is called.
            self._code[id(component)] = component, None if code is None else f"{code} {_function_of(component)}"
        return self._code[id(component)][1]

    def _inputs_of(self, choice: Choice) -> _Inputs:
        if id(choice) not in self._inputs:
            try:
                references = self._registry.references(choice.component, choice.params)
                values = _values(self._registry, choice)
                params, *uses_params = [self._with_contents(given) for given in (values, *(used.params for used in references))]
            except MissingPathError as error:
                raise SuiteError([f"{choice.kind} {choice}: {error}"]) from error
            self._inputs[id(choice)] = _Inputs(references, values, params, uses_params)
        return self._inputs[id(choice)]

    def _outside_of(self, choice: Choice, values: Mapping[str, Any]) -> object:
        if id(choice) not in self._outside:
            self._outside[id(choice)] = _identify(f"{choice.kind} {choice}", choice.component, values)
        return self._outside[id(choice)]

    def _with_contents(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the content of every path in its place."""
        result = dict(params)
        for name, value in params.items():
            if isinstance(value, Source) and value.name:
                result[name] = _code_of_source(value)
                for file in _own_files(value):
                    self._content(file)  # compared after the call: a file may be edited before it runs
            elif has_path(value):
                try:
                    is_source = isinstance(value, Source)
                    result[name] = [*map(self._content, value.files)] if is_source else map_paths(value, self._content)
                except MissingPathError as error:
                    raise MissingPathError(f"{name}: {error}") from None
        return result

    def _content(self, path: Path) -> dict[str, str]:
        if str(path) not in self.contents:
            self.contents[str(path)] = content_of(path)
        return {"content": self.contents[str(path)]}


def _code_of_source(source: Source) -> dict[str, str]:
    """Return the code that a setting names, with the modules of its own that it imports, as a fingerprint."""
    module, _, name = source.name.rpartition(":")
    where = (module, source_of(module)) if source.path is None else (source.path.stem, source.path)
    forget_changed([where])  # it may have been edited since an earlier run of this process
    return {"code": fingerprint(*where), "name": name}


def _own_files(source: Source) -> list[Path]:
    """Return the files of the code that a setting names; none for an installed package."""
    module = source.name.rpartition(":")[0]
    code = own_code(module) if source.path is None else own_code(source.path.stem, source.path)
    return [] if code is None else [*code.modules.values()]


def paths_of(registry: Registry, choice: Choice) -> list[str]:
    """Return the absolute paths in the settings of a choice, and in those of the methods and measures that they name.

    Of code that a setting names these are all files of its own.
    """
    paths: list[str] = []
    used = [reference.params for reference in registry.references(choice.component, choice.params)]
    for params in (_values(registry, choice), *used):
        map_paths(params, lambda path: paths.append(str(path)))
        for value in params.values():
            if isinstance(value, Source) and value.name:
                with suppress(PluginError):  # it was edited and is no Python any more, which the call reports
                    paths.extend(map(str, _own_files(value)))
    return paths


def _values(registry: Registry, choice: Choice) -> dict[str, Any]:
    return with_absolute_paths(choice.component.function, choice.params, registry.folder, must_exist=False)


def _function_of(component: Component) -> str:
    """Return the name of a function in its module."""
    target: str | Callable[..., Any] = component.target
    return target.partition(":")[2] if isinstance(target, str) else getattr(target, "__qualname__", "")


def _identify(where: str, component: Component, params: Mapping[str, Any]) -> object:
    """Return what identifies the external inputs of a function, as declared with `tmi.external`; None if it declares none."""
    identify = getattr(component.function, "tmi_external", None)
    if identify is None:
        return None
    try:
        return identify(**params)
    except TmiError as error:
        raise SuiteError([f"{where}: {error}"]) from error
    except Exception as error:
        message = f"its external inputs cannot be identified ({type(error).__name__}: {error})"
        raise SuiteError([f"{where}: {message}"]) from error
