"""What a network's input is: the normalisation of pixels, and how an image gets to the network's size.

One description travels with a network: through recipe, checkpoint, bundle, build and result.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from moesaic.errors import UserError

RESIZES = ("auto", "crop", "pad", "stretch")
INTERPOLATIONS = ("linear", "cubic")
PAD_SIDES = ("both", "end")

_CHANNELS = 3


@dataclass(frozen=True)
class InputDescription:
    """What a network expects as its image.

    mean, deviation: per RGB channel, for pixels in 0..1: the network's input is (pixel / 255 - mean) / deviation. The default is
    pixel / 127.5 - 1.
    resize: "crop" cuts off what is too wide or too high, "pad" keeps the whole image and surrounds it, "stretch" keeps the whole image
    and changes its proportions. "auto" crops an application's image, and pads a sample of a data set without enlarging it, so that
    no ground truth is lost.
    crop_ratio: with "crop" and "stretch", the share of the resized image's height and width that the network sees, around the centre:
    0.875 for networks that resize the shorter edge to 256 pixels and cut out 224.
    pad_side: "both" puts equal padding on opposite sides, "end" puts all of it at the bottom and on the right. pad_colour: RGB, 0 to
    255; empty for the pixel nearest to the mean, which is the one nearest to 0 after normalisation.
    interpolation: of resizing, see `moesaic.spec.resize`. UserError for anything else.
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    resize: str = "auto"
    crop_ratio: float = 1.0
    pad_side: str = "both"
    pad_colour: tuple[int, ...] = ()
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        for name, known in (("resize", RESIZES), ("pad_side", PAD_SIDES), ("interpolation", INTERPOLATIONS)):
            if getattr(self, name) not in known:
                raise UserError(f"input.{name} is {getattr(self, name)!r}: choose {', '.join(known)}")
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != _CHANNELS or not all(map(_is_finite, values)):
                raise UserError(f"input.{name} is {values!r}, it needs {_CHANNELS} numbers, for R, G and B")
        if min(self.deviation) <= 0:
            raise UserError(f"input.deviation is {self.deviation!r}, each must be above 0")
        if not _is_finite(self.crop_ratio) or not 0 < self.crop_ratio <= 1:
            raise UserError(f"input.crop_ratio is {self.crop_ratio!r}, it must be above 0 and at most 1")
        if self.crop_ratio != 1 and self.resize not in ("crop", "stretch"):
            raise UserError(
                f"input.crop_ratio is {self.crop_ratio}: set input.resize to crop or stretch, not {self.resize}"
            )
        colour = self.pad_colour
        if not isinstance(colour, tuple) or len(colour) not in (0, _CHANNELS) or not all(map(_is_pixel, colour)):
            raise UserError(f"input.pad_colour is {colour!r}, it needs {_CHANNELS} integers from 0 to 255, or none")

    @property
    def padding(self) -> tuple[int, ...]:
        """RGB of what surrounds a padded image, 0 to 255."""
        return self.pad_colour or tuple(min(max(math.floor(255 * mean + 0.5), 0), 255) for mean in self.mean)

    @property
    def formula(self) -> str:
        """How the network's input comes from a pixel, for messages."""
        if self.mean == self.deviation == (0.5, 0.5, 0.5):
            return "pixel / 127.5 - 1"
        mean, deviation = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.deviation))
        return f"(pixel / 255 - [{mean}]) / [{deviation}]"

    @property
    def geometry(self) -> str:
        """How an image gets to the network's size, for messages."""
        part = f" of which the network sees {self.crop_ratio:g} of each side," if self.crop_ratio != 1 else ""
        return {
            "auto": f"the network's size by cropping, {self.interpolation} interpolation",
            "crop": f"resized at its own proportions,{part} cropped around the centre, {self.interpolation} interpolation",
            "pad": f"resized at its own proportions and padded with {self.padding}, {self.interpolation} interpolation",
            "stretch": f"stretched,{part} {self.interpolation} interpolation",
        }[self.resize]

    def affine(self, origin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Scale and offset, float64 (3,) each: the network's input is (pixel - origin) * scale + offset."""
        mean, deviation = 255 * np.array(self.mean, np.float64), 255 * np.array(self.deviation, np.float64)
        return 1 / deviation, (origin - mean) / deviation

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """The network's input, float32, for images of any real dtype, (..., 3), RGB with pixels in 0..255."""
        scale, offset = self.affine()
        return (images * scale + offset).astype(np.float32)

    def to_dict(self) -> dict:
        """The entries that are not at their defaults, in plain types."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != usual[name]
        }

    @classmethod
    def from_dict(cls, values: dict) -> InputDescription:
        """The description that `to_dict`, or the table `input` of a recipe, states; UserError names an unknown or wrong entry."""
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict):
            raise UserError(f"input is {values!r}, not a table of {', '.join(known)}")
        if unknown := sorted(values.keys() - set(known)):
            raise UserError(f"input has an unknown entry {unknown[0]!r}: choose {', '.join(known)}")
        entries: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**entries)


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_pixel(value: object) -> bool:
    return type(value) is int and 0 <= value <= 255


MINUS_ONE_TO_ONE = InputDescription()
"""pixel / 127.5 - 1."""
