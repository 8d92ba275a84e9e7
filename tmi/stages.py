"""The three stages of a cell: a data set is generated, a network is built for it, and a probe is applied to both."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage of a cell, in order of execution. The product of each stage is stored under a key of its own.

    A member equals its value, so ``"dataset"`` from a suite file or a JSON record can be used in its place. ``Stage("result")``
    is `Stage.PROBE`, named by its product.
    """

    DATASET = "dataset"
    NETWORK = "network"
    PROBE = "probe"

    @classmethod
    def _missing_(cls, value: object) -> Stage | None:
        return cls.PROBE if value == "result" else None

    @property
    def product(self) -> str:
        """The name of what the stage produces, in messages and files: ``"dataset"``, ``"network"`` or ``"result"``."""
        return "result" if self is Stage.PROBE else self.value

    @property
    def so_far(self) -> tuple[Stage, ...]:
        """The stages up to and including this one, in order."""
        stages = tuple(Stage)
        return stages[: 1 + stages.index(self)]
