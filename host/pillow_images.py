"""Images that Pillow holds or reads, as a viewer shows them."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import numpy as np

from moesaic.host.colour_profiles import gamma_to_srgb, profile_to_srgb
from moesaic.host.exif import ORIENTATION, upright

if TYPE_CHECKING:
    from PIL import Image

_DIRECT = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}
_SEVERAL_ARE_ONE = ("MPO",)
"""Formats whose further pictures belong to the first: depth, another view, a gain map. A viewer shows the first."""
_REMEDIES = {
    "CMYK": "convert it to sRGB with an image editor, which knows the inks that are meant",
    "LAB": "convert it to sRGB with an image editor",
    "HSV": 'convert it with picture.convert("RGB")',
}


def is_pillow_image(source: object) -> bool:
    """Whether an object is an image of Pillow, which is not imported for that."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def decode_with_pillow(data: bytes) -> np.ndarray:
    """The image in a file, uint8 (height, width, 1 to 4 channels: grey or RGB, with alpha where there is transparency).

    ValueError says why it cannot be taken, and what helps.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            "it is neither PNG nor PPM, and Pillow, which reads other formats, is missing; install it with: pip install pillow,"
            " or save the image as PNG"
        ) from None
    try:
        with Image.open(io.BytesIO(data)) as picture:
            count = getattr(picture, "n_frames", 1)
            if count > 1 and picture.format not in _SEVERAL_ARE_ONE:
                raise ValueError(
                    f"it holds {count} pictures, an animation or pages; save the one that is meant as a file of its own, or pass it as"
                    " a Pillow image after picture.seek(N)"
                )
            return pillow_pixels(picture)
    except Image.UnidentifiedImageError:
        raise ValueError("it is no image in a format that Pillow reads; save it as PNG or JPEG") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"it is larger than Pillow reads ({error}); shrink or cut it first") from None
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders let through what a damaged file makes of their lists and numbers
        reason = (str(error) or type(error).__name__).replace("\n", " ")
        raise ValueError(f"it is damaged ({reason}); fetch it or save it again") from None


def pillow_pixels(picture: Image.Image) -> np.ndarray:
    """The pixels of an image as a viewer shows it: turned upright, in sRGB. Shape, dtype and errors as of decode_with_pillow."""
    mode = picture.mode
    if mode not in _DIRECT and mode not in _CONVERTED:
        if mode in _REMEDIES:
            raise ValueError(f"its colours are {mode}, not RGB; {_REMEDIES[mode]}")
        raise ValueError(
            f"its pixels are numbers of mode {mode}, which do not say what is black and what is white; scale them to 8 bits, or pass"
            ' moesaic.Image(numpy.asarray(picture), channels="grey", value_range=(BLACK, WHITE))'
        )
    uncovered = _uncovered(picture)
    if ("transparency" in picture.info and mode in ("L", "RGB", "P")) or uncovered is not None:
        image = np.array(picture.convert("RGBA"))
        if uncovered is not None:
            image[uncovered, -1] = 0
    else:
        image = np.atleast_3d(np.asarray(picture.convert(_CONVERTED[mode]) if mode in _CONVERTED else picture))
    opaque = image.shape[2] - 1 if image.shape[2] in (2, 4) else image.shape[2]
    colours = _in_srgb(np.ascontiguousarray(image[..., :opaque]), picture)
    if opaque != image.shape[2]:
        colours = np.dstack([colours, image[..., opaque:]])
    return upright(colours, picture.getexif().get(ORIENTATION, 1))


def _uncovered(picture: Image.Image) -> np.ndarray | None:
    """Where the canvas of a GIF is not covered by its first picture, bool (height, width); None if nothing is bare.

    Viewers show nothing there, Pillow a colour of the palette.
    """
    box = getattr(picture, "dispose_extent", None)
    if picture.format != "GIF" or box is None or picture.tell() != 0 or tuple(box) == (0, 0, *picture.size):
        return None
    left, top, right, bottom = box
    bare = np.ones(picture.size[::-1], bool)
    bare[top:bottom, left:right] = False
    return bare


def _in_srgb(image: np.ndarray, picture: Image.Image) -> np.ndarray:
    info = picture.info
    profile = info.get("icc_profile")
    if profile:
        was_grey = picture.mode in ("1", "L", "LA", "La") and image.shape[2] == 3  # a transparent colour made it RGBA
        return profile_to_srgb(image[..., :1], profile).repeat(3, -1) if was_grey else profile_to_srgb(image, profile)
    if picture.format != "PNG" or "srgb" in info or "gamma" not in info:
        return image
    chromaticities = info.get("chromaticity")
    return gamma_to_srgb(
        image,
        round(100_000 * info["gamma"]),
        None if chromaticities is None else tuple(round(100_000 * value) for value in chromaticities),
    )
