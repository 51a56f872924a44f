"""Images in the forms in which applications have them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from moesaic.errors import UserError
from moesaic.host.image_files import check_sides, opaque_rgb, read_image
from moesaic.host.pillow_images import is_pillow_image, pillow_pixels
from moesaic.spec.input_description import RESIZES, InputDescription

CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "grey": 1}
"""Orders of channels, and how many they are."""
LAYOUTS = ("hwc", "chw")
_FORMS = "give an array (height, width, 3), an image of Pillow, the path of an image file, or the bytes of one"


@dataclass(frozen=True, eq=False)
class Image:
    """An image, with what its pixels do not tell by themselves.

    Wherever an image is taken, its source alone is enough if it is a file, an image of Pillow, or an array of uint8
    (height, width, 3) in RGB. Nothing else is guessed: say it here, as in `Image(frame, channels="bgr")`, or
    `Image(tensor, layout="chw", value_range=(0, 1))`.

    Attributes:
        source: a path; the bytes of an image file; an image of Pillow; an array, or what numpy makes one of, such as a tensor of
            PyTorch in the processor's memory. Files and images of Pillow are taken as a viewer shows them, see
            moesaic.host.image_files.read_image: turned upright, in sRGB.
        channels: of an array, one of CHANNELS. An alpha channel must be opaque; grey arrays may have two axes.
        layout: of an array, "hwc" for (height, width, channels) or "chw" for (channels, height, width).
        value_range: of an array, the values of black and white, such as (0, 1). Needed for any type but uint8.
        resize: how the image gets to the network's size: "crop", "pad" or "stretch", see
            moesaic.spec.input_description.InputDescription; None for how the network was trained.

    UserError if an attribute is none of these.
    """

    source: Any
    channels: str = "rgb"
    layout: str = "hwc"
    value_range: tuple[float, float] | None = None
    resize: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("channels", tuple(CHANNELS)), ("layout", LAYOUTS), ("resize", (None, *RESIZES[1:]))):
            if getattr(self, name) not in known:
                raise UserError(f"{name} is {getattr(self, name)!r}; choose {', '.join(map(repr, known))}")
        if self.value_range is not None and not _is_range(self.value_range):
            raise UserError(
                f"value_range is {self.value_range!r}; give the values of black and white, such as (0, 1), the smaller first"
            )
        if isinstance(self.source, Image):
            raise UserError("an Image of an Image; make one, with all that is to be said")

    def pixels(self, name: str = "the image") -> np.ndarray:
        """The whole image, uint8 (height, width, 3), RGB; for uint8 arrays a view where that is possible.

        `Result.placement` and `Result.at_image` are in terms of these pixels. name: what an error calls an image without a path.
        UserError if it is not as above.
        """
        source = self.source
        if isinstance(source, (str, os.PathLike, bytes, bytearray)):
            self._require_no_array(name, "a file")
            return read_image(bytes(source) if isinstance(source, bytearray) else source, name)  # type: ignore[arg-type]
        if is_pillow_image(source):
            self._require_no_array(name, "an image of Pillow")
            try:
                image = opaque_rgb(pillow_pixels(source))
            except (ValueError, OSError) as error:
                raise UserError(f"{name} cannot be taken: {error}") from None
        else:
            image = self._array_pixels(name)
        check_sides(image, name)
        return image

    def kept(self) -> Image:
        """The same image, which stays so when its array is filled again or its Pillow image changed. UserError as in `pixels`."""
        source = self.source
        if isinstance(source, (str, os.PathLike, bytes)):
            return self
        if isinstance(source, bytearray):
            return replace(self, source=bytes(source))
        if is_pillow_image(source):
            return Image(self.pixels(), resize=self.resize)
        return replace(self, source=_as_array(source, "the image").copy())

    def description(self, usual: InputDescription) -> InputDescription:
        """How this image gets to the size of a network with the description `usual`."""
        if self.resize is None or self.resize == usual.resize:
            return usual
        return replace(usual, resize=self.resize, crop_ratio=1.0)

    def _require_no_array(self, name: str, what: str) -> None:
        if (self.channels, self.layout, self.value_range) != ("rgb", "hwc", None):
            raise UserError(
                f"{name} is {what}, which says itself how its pixels are laid out; leave out channels, layout and value_range"
            )

    def _array_pixels(self, name: str) -> np.ndarray:
        array = _as_array(self.source, name)
        found = f"{name} is {array.dtype} {array.shape}"
        wanted = CHANNELS[self.channels]
        if self.channels == "grey" and array.ndim == 2:
            array = array[..., None]
        elif array.ndim == 2:
            raise UserError(f'{found}: it has no channels; if it is grey, pass moesaic.Image(array, channels="grey")')
        if array.ndim == 4:
            raise UserError(f"{found}: it has 4 axes; pass one image of the batch, such as batch[0]")
        if array.ndim != 3:
            raise UserError(f"{found}: it has {array.ndim} axes; {_FORMS}")
        if self.layout == "chw" and array.shape[0] == wanted:
            array = array.transpose(1, 2, 0)
        elif self.layout == "chw" or array.shape[2] != wanted:
            raise UserError(
                f"{found}, not {_shape(self.layout)} of {wanted} channels {self.channels}{self._advice(array)}"
            )
        image = self._as_bytes(array, found)
        if self.channels.startswith("bgr"):
            image = image[..., [2, 1, 0, 3]] if wanted == 4 else image[..., ::-1]
        try:
            return opaque_rgb(image)
        except ValueError as error:
            raise UserError(f"{name} cannot be taken: {error}") from None

    def _advice(self, array: np.ndarray) -> str:
        """What would fit an array of three axes that this description does not fit, to end an error."""
        for layout, count in (("hwc", array.shape[2]), ("chw", array.shape[0])):
            names = [f"channels={channels!r}" for channels, n in CHANNELS.items() if n == count]
            if names:
                other = f"layout={layout!r}" if layout != self.layout else ""
                order = " or ".join(names) if count != CHANNELS[self.channels] else ""
                return f"; if it is {_shape(layout)}, pass moesaic.Image(array, ...) with {' and '.join(filter(None, (other, order)))}"
        return f"; {_FORMS}"

    def _as_bytes(self, array: np.ndarray, found: str) -> np.ndarray:
        """The array with black as 0 and white as 255, rounded to uint8, halves upwards."""
        if array.dtype == np.uint8 and self.value_range in (None, (0, 255)):
            return array
        if array.dtype.kind not in "uif":
            raise UserError(f"{found}: its values are no real numbers; {_FORMS}")
        if self.value_range is None:
            raise UserError(
                f"{found}, whose black and white are not known; pass moesaic.Image(array, value_range=(0, 1)), or what they are"
            )
        if not array.size:
            return array.astype(np.uint8)
        black, white = self.value_range
        # In float64, where sums and products round the same everywhere.
        scaled = np.floor((array.astype(np.float64) - black) * (255 / (white - black)) + 0.5)
        if not (scaled.min() >= 0 and scaled.max() <= 255):
            values = f"{np.min(array):g} to {np.max(array):g}"
            raise UserError(
                f"{found} with values {values}, outside of value_range {black:g} to {white:g}; pass the range that it has, or clip it"
            )
        return scaled.astype(np.uint8)


ImageLike: TypeAlias = "Image | np.ndarray | Path | str | bytes | Any"
"""An Image, or its source where nothing else has to be said."""


def as_image(image: ImageLike) -> Image:
    """The Image itself, or an Image of this source."""
    return image if isinstance(image, Image) else Image(image)


def _shape(layout: str) -> str:
    return "(height, width, channels)" if layout == "hwc" else "(channels, height, width)"


def _is_range(value: object) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(end, (int, float)) and np.isfinite(end) for end in value)
        and value[0] < value[1]
    )


def _as_array(source: object, name: str) -> np.ndarray:
    if masked := int(np.ma.count_masked(source)) if isinstance(source, np.ma.MaskedArray) else 0:
        raise UserError(f"{name} has {masked:,} masked values; say what is to be seen there: array.filled(VALUE)")
    try:
        array = np.asarray(source)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(
            f"{name} is a {type(source).__name__} that numpy cannot read ({reason}); of a tensor pass"
            " tensor.detach().cpu().float().numpy() with its value_range"
        ) from None
    if array.dtype == object or array.dtype.kind in "USmM" or array.ndim == 0:
        raise UserError(f"{name} is a {type(source).__name__}, no image; {_FORMS}")
    return array
