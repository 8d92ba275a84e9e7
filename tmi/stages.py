"""The three stages of a cell: the data set is made, the network is built for it, the probe is applied to both."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage of a cell, in the order of the work; what it makes is kept in the store under a key of its own.

    A member equals its value, so that ``"dataset"`` from a suite file or a JSON record serves as well. ``Stage("result")`` is the
    probe's stage too, named by what it makes.
    """

    DATASET = "dataset"
    NETWORK = "network"
    PROBE = "probe"

    @classmethod
    def _missing_(cls, value: object) -> Stage | None:
        return cls.PROBE if value == "result" else None

    @property
    def product(self) -> str:
        """What the stage makes, for readers and in files: ``"dataset"``, ``"network"`` or ``"result"``."""
        return "result" if self is Stage.PROBE else self.value

    @property
    def so_far(self) -> tuple[Stage, ...]:
        """The stages up to this one, in order."""
        stages = tuple(Stage)
        return stages[: 1 + stages.index(self)]
