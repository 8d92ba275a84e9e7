"""What the modules of a plug-in import, found in a fresh process: every list of names and every plan of a suite pays for it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

from tmi.plugins.component import Component

SECONDS = 1.0
"""How much processor time the modules of one plug-in may take, beside those of tmi itself."""

HEAVY = (
    "captum", "cv2", "h5py", "jax", "keras", "matplotlib", "numba", "pandas", "scipy", "skimage", "sklearn", "tensorflow", "timm",
    "torch", "torchvision", "transformers", "xarray",
)  # fmt: skip
"""Libraries that take a part of a second or more to import."""

_CODE = """
import importlib, json, sys, time
from tmi.errors import TmiError
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost

module, is_file, *heavy = sys.argv[1:]
host, found, start = PluginHost(), {}, time.process_time()
if is_file == "1":
    host.load_file(module)
else:
    host.add(Plugin(module, "", importlib.import_module(module)))
seen = set()
for (kind, name), component in [(("", ""), None), *host.components.items()]:
    try:
        if component is not None and kind != "suite":
            component.function
    except TmiError:  # another check reports it
        pass
    new = [library for library in heavy if library in sys.modules and library not in seen]
    seen.update(new)
    found[f"{kind} {name}"] = new
print(json.dumps([time.process_time() - start, found]))
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
    seconds, found = _imported(plugin.file is not None, str(plugin.file or plugin.module.__name__))
    heavy = [*found.get(" ", []), *found.get(f"{component.kind} {component.name}", [])]
    if heavy:
        return [f"imports {', '.join(heavy)} when it is imported; import it inside the function, so that tmi list is quick"]
    if seconds > SECONDS:
        return [f"its modules take {seconds:.1f} s to import; import large libraries inside functions, so that tmi list is quick"]
    return []


@functools.lru_cache(maxsize=64)  # one process for all names of a plug-in
def _imported(is_file: bool, module: str) -> tuple[float, dict[str, list[str]]]:
    """Return the processor time of importing a plug-in and its functions, and the large libraries that each of them imports."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, module, str(int(is_file)), *HEAVY],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:  # it cannot be imported, which another check reports
        return 0.0, {}
    seconds, found = json.loads(done.stdout.splitlines()[-1])
    return seconds, found
