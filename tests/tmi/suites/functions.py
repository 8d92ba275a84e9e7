"""Functions of a module, which a suite given as a dict may use."""

from __future__ import annotations

import tmi


def number(network, data, *, k: int = 2) -> tmi.ProbeResult:
    """Return k."""
    return tmi.ProbeResult({"value": k})


class One:
    """Has a function of the same name as another class."""

    @staticmethod
    def function(network, data) -> tmi.ProbeResult:
        """Return 1."""
        return tmi.ProbeResult({"value": 1})

    def method(self, network, data) -> tmi.ProbeResult:
        """Depend on the object."""
        return tmi.ProbeResult({"value": self.value})


class Two:
    """Has a function of the same name as another class."""

    @staticmethod
    def function(network, data) -> tmi.ProbeResult:
        """Return 2."""
        return tmi.ProbeResult({"value": 2})
