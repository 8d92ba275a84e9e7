"""What the modules of a plug-in import, found in a fresh process: every list of names and every plan of a suite pays for it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

from tmi.plugins.component import Component
from tmi.runtime.reads import modified

SECONDS = 0.5
"""How much processor time the import of one function's module may take, beside those that were imported before it."""

HEAVY = (
    "captum", "cv2", "h5py", "jax", "keras", "matplotlib", "numba", "pandas", "scipy", "skimage", "sklearn", "tensorflow", "timm",
    "torch", "torchvision", "transformers", "xarray",
)  # fmt: skip
"""Libraries that take a part of a second or more to import."""

_REMEDY = "import large libraries inside the function, so that tmi list and a plan stay quick"

_CODE = """
import importlib, json, sys, time
from tmi.errors import TmiError
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost

module, is_file, *heavy = sys.argv[1:]
host, found, seen, start = PluginHost(), {}, set(), time.process_time()


def note(name):
    global start
    new = [library for library in heavy if library in sys.modules and library not in seen]
    seen.update(new)
    found[name] = time.process_time() - start, new
    start = time.process_time()


if is_file == "1":
    host.load_file(module)
else:
    host.add(Plugin(module, "", importlib.import_module(module)))
note("")
for (kind, name), component in host.components.items():
    try:
        if kind != "suite":
            component.function
    except TmiError:  # another check reports it
        pass
    note(f"{kind} {name}")
print(json.dumps(found))
"""


def import_problems(component: Component) -> list[str]:
    """Return what is wrong with what the modules of a registered function import.

    Parameters
    ----------
    component : Component

    Returns
    -------
    list of str
        One sentence per problem; empty for a function that is in no plug-in.
    """
    plugin = component.plugin
    if plugin.module is None:
        return []
    name, edited = plugin.module.__name__, 0
    if plugin.file is not None:
        name, edited = str(plugin.file), modified(str(plugin.file))
    found = _imported(name, plugin.file is not None, edited)
    problems = []
    for seconds, heavy in (found.get(part, (0.0, [])) for part in ("", f"{component.kind} {component.name}")):
        if heavy:
            problems.append(f"imports {', '.join(heavy)} when it is imported; {_REMEDY}")
        elif seconds > SECONDS:
            problems.append(f"takes {seconds:.1f} s of processor time to import; {_REMEDY}")
    return problems


@functools.lru_cache(maxsize=64)  # one process for all names of a plug-in
def _imported(module: str, is_file: bool, _edited: int) -> dict[str, tuple[float, list[str]]]:
    """Return the processor time of importing a plug-in ("") and the module of each function, and the large libraries imported."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, module, str(int(is_file)), *HEAVY],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:  # it cannot be imported, which another check reports
        return {}
    found: dict[str, tuple[float, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return found
