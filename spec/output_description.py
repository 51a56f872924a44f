"""What a network's outputs are: how they are decoded and drawn, the unit and scale of depth, the axes of normals."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.heads import CLASSIFICATION, FEATURES, KINDS

ENCODINGS = ("log", "linear")
AXES = (("right", "left"), ("down", "up"), ("away", "viewer"))
"""The project's axes x, y and z, each by its own direction and the opposite one."""
_USUAL_AXES = tuple(own for own, _ in AXES)
DEPTH_UNIT = 4.0
"""Metres: the usual unit of a logarithmic depth output."""
_UNITS = {"log": DEPTH_UNIT, "linear": 1.0}
LEAST_DEPTH = 1e-9
"""Metres that a linear depth output below it stands for, as in the multi-task papers' code."""
DECODINGS = ("classes", "probabilities", "metres", "directions", "values")
"""What the channels of a dense output can be decoded to, see `moesaic.spec.predictions.decode`."""
_ALWAYS = {"segmentation": "classes", "parts": "classes", "saliency": "probabilities", "edges": "probabilities"}
_ALWAYS |= {"depth": "metres", "normals": "directions", CLASSIFICATION: CLASSIFICATION, FEATURES: FEATURES}
PICTURES = {
    "classes": ("classes",),
    "heat": ("probabilities", "values"),
    "grey": ("probabilities", "values"),
    "depth": ("metres",),
    "directions": ("directions",),
}
"""The ways to draw a dense output, and the decodings that each of them can draw; the first one for a decoding is its usual picture."""
_CHANNELS = {"metres": 1, "directions": 3}
"""The number of channels of the decodings that have a certain one."""


@dataclass(frozen=True)
class OutputDescription:
    """What a task's output channels mean. Entries for other kinds of task have no effect.

    decoding: one of DECODINGS, of a kind that is none of moesaic.spec.heads.KINDS; "" for these, which always have the same. picture:
    how it is drawn, a key of PICTURES; "" for the usual one. encoding: of depth: "log" outputs ln(depth / unit), "linear" outputs depth
    / unit. unit: metres; 0 for 4 m with "log" and 1 m with "linear". axes: of normals: where the channels point, each of right or left,
    down or up, and away (into the picture) or viewer (towards the camera) once. UserError for anything else.
    """

    encoding: str = "log"
    unit: float = 0.0
    axes: tuple[str, ...] = _USUAL_AXES
    decoding: str = ""
    picture: str = ""

    def __post_init__(self) -> None:
        for name, known in (("decoding", DECODINGS), ("picture", tuple(PICTURES))):
            if getattr(self, name) not in ("", *known):
                raise UserError(f"output.{name} is {getattr(self, name)!r}: choose {', '.join(known)}")
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


def decoding_of(kind: str, output: OutputDescription) -> str:
    """What an output of this kind is decoded to: one of DECODINGS, or the name of a kind that is not dense."""
    return _ALWAYS.get(kind, output.decoding)


def picture_of(kind: str, output: OutputDescription) -> str:
    """How an output of this kind is drawn: a key of PICTURES, or the name of a kind that is not dense."""
    if kind in (CLASSIFICATION, FEATURES):
        return kind
    if output.picture or kind == "edges":
        return output.picture or "grey"
    return usual_picture(decoding_of(kind, output))


def usual_picture(decoding: str) -> str:
    """How a dense output with this decoding is drawn where nothing else is said."""
    return next(name for name, drawn in PICTURES.items() if decoding in drawn)


def output_problem(kind: str, channels: int, output: OutputDescription) -> str:
    """What is wrong with the decoding and the picture of a task of this kind, with so many channels; empty if nothing is."""
    if kind not in KINDS and not output.decoding:
        return f"kind {kind!r} is none of {', '.join(KINDS)}, and its output states no decoding"
    decoding = decoding_of(kind, output)
    if kind in KINDS and output.decoding not in ("", decoding):
        return f"output.decoding is {output.decoding!r}, kind {kind} is always decoded to {decoding}"
    if output.picture and decoding not in PICTURES[output.picture]:
        drawn = " or ".join(PICTURES[output.picture])
        return f"output.picture is {output.picture!r}, which draws {drawn}, not {decoding}"
    if channels != _CHANNELS.get(decoding, channels):
        return f"kind {kind} has {channels} channels, as {decoding} it needs {_CHANNELS[decoding]}"
    return ""


def _axis(direction: object) -> int:
    """The index of the axis along which a direction lies; -1 if it is none."""
    return next((i for i, pair in enumerate(AXES) if direction in pair), -1)


USUAL_OUTPUT = OutputDescription()
"""ln(depth / 4 m); normals with x right, y down, z into the picture."""
