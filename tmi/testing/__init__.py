"""Checks for authors of plug-ins, also as ``tmi check`` and in pytest.

The names are imported when they are first used: pytest imports this package at every start, for `tmi.testing.pytest_plugin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmi import _lazy

if TYPE_CHECKING:
    from .checks import CHECKS
    from .outcomes import Outcome, applicable
    from .plugins import PluginCheck, check_plugin
    from .toys import few, tiny_data, tiny_network

_MODULE_OF = {
    "CHECKS": "checks",
    "Outcome": "outcomes",
    "PluginCheck": "plugins",
    "applicable": "outcomes",
    "check_plugin": "plugins",
    "few": "toys",
    "tiny_data": "toys",
    "tiny_network": "toys",
}

__all__ = ["CHECKS", "Outcome", "PluginCheck", "applicable", "check_plugin", "few", "tiny_data", "tiny_network"]

__getattr__ = _lazy.names(__name__, _MODULE_OF)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
