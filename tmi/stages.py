"""The three stages of a cell: the data set is made, the network is built for it, the probe is applied to both."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage of a cell, in the order of the work; each is kept in the store under a key of its own.

    A member equals its value, so that ``"dataset"`` from a suite file or a JSON record serves as well.
    """

    DATASET = "dataset"
    NETWORK = "network"
    PROBE = "probe"

    @property
    def product(self) -> str:
        """What the stage makes, for readers and in file names: ``"dataset"``, ``"network"`` or ``"result"``."""
        return "result" if self is Stage.PROBE else self.value
