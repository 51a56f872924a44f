"""What a network's outputs are: the unit and scale of depth, and the axes of normals."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from moesaic.errors import UserError

ENCODINGS = ("log", "linear")
AXES = (("right", "left"), ("down", "up"), ("away", "viewer"))
"""The project's axes x, y and z, each by its own direction and the opposite one."""
_USUAL_AXES = tuple(own for own, _ in AXES)
DEPTH_UNIT = 4.0
"""Metres: the usual unit of a logarithmic depth output."""
_UNITS = {"log": DEPTH_UNIT, "linear": 1.0}
LEAST_DEPTH = 1e-9
"""Metres that a linear depth output below it stands for, as in the multi-task papers' code."""


@dataclass(frozen=True)
class OutputDescription:
    """What a task's output channels mean. Entries for other kinds of task have no effect.

    encoding: of depth: "log" outputs ln(depth / unit), "linear" outputs depth / unit. unit: metres; 0 for 4 m with "log" and 1 m with
    "linear". axes: of normals: where the channels point, each of right or left, down or up, and away (into the picture) or viewer
    (towards the camera) once. UserError for anything else.
    """

    encoding: str = "log"
    unit: float = 0.0
    axes: tuple[str, ...] = _USUAL_AXES

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise UserError(f"output.encoding is {self.encoding!r}: choose {', '.join(ENCODINGS)}")
        if type(self.unit) not in (int, float) or not 0 <= self.unit < math.inf:
            raise UserError(f"output.unit is {self.unit!r}, it must be a number of metres, or 0 for the usual one")
        if not isinstance(self.axes, tuple) or sorted(map(_axis, self.axes)) != [0, 1, 2]:
            choice = ", ".join(f"{own} or {other}" for own, other in AXES)
            raise UserError(f"output.axes is {self.axes!r}: name each of {choice} once")

    @property
    def metres_per_unit(self) -> float:
        """The unit of depth, in metres."""
        return self.unit or _UNITS[self.encoding]

    def metres(self, output: np.ndarray) -> np.ndarray:
        """Depth in metres, float64, at least LEAST_DEPTH, from a depth output of any shape."""
        values = np.asarray(output, np.float64)
        if self.encoding == "log":
            return self.metres_per_unit * np.exp(values)
        return np.maximum(self.metres_per_unit * values, LEAST_DEPTH)

    @property
    def axis_matrix(self) -> np.ndarray:
        """The rotation or reflection, float64 (3, 3), that takes the output's channels to x right, y down, z into the picture."""
        matrix = np.zeros((3, 3))
        for channel, direction in enumerate(self.axes):
            axis = _axis(direction)
            matrix[axis, channel] = 1 if direction == AXES[axis][0] else -1
        return matrix

    def to_dict(self) -> dict:
        """The entries that are not at their defaults, in plain types."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        found = {name: getattr(self, name) for name in usual if getattr(self, name) != usual[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def from_dict(cls, values: dict) -> OutputDescription:
        """The description that `to_dict`, or `output` of a recipe's task, states; UserError names an unknown or wrong entry."""
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict):
            raise UserError(f"output is {values!r}, not a table of {', '.join(known)}")
        if unknown := sorted(values.keys() - set(known)):
            raise UserError(f"output has an unknown entry {unknown[0]!r}: choose {', '.join(known)}")
        entries: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**entries)


def _axis(direction: object) -> int:
    """The index of the axis along which a direction lies; -1 if it is none."""
    return next((i for i, pair in enumerate(AXES) if direction in pair), -1)


USUAL_OUTPUT = OutputDescription()
"""ln(depth / 4 m); normals with x right, y down, z into the picture."""
