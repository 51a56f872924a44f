"""Reads images from files and writes pictures to files; PNG and PPM need no imaging library."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import is_lfs_pointer, write_file
from moesaic.host.colour_profiles import png_to_srgb
from moesaic.host.exif import orientation_of, upright
from moesaic.host.pillow_images import decode_with_pillow
from moesaic.host.png import SIGNATURE, TooLarge, decode_chunks, encode_png, read_chunks
from moesaic.spec.resize import LARGEST_SIDE

__all__ = ["check_sides", "encode_png", "opaque_rgb", "read_image", "write_picture"]

_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)


def read_image(source: Path | str | bytes, name: str | None = None) -> np.ndarray:
    """Read an image file as a viewer shows it: uint8 (height, width, 3), RGB in sRGB, turned upright.

    source: a path, or the bytes of a file: PNG, binary PPM or PGM, or any format that Pillow reads if it is installed. Grey has three
    equal channels, other bit depths are rescaled to 8 bits, colours of a matrix profile are converted to sRGB, EXIF's orientation is
    applied, and an opaque alpha channel is dropped. name: what an error calls the image, by default after its path.

    Raises UserError if it cannot be read, has a side of more than 16,384 pixels, or if there is no one way to show it: transparent
    pixels, several pictures, inks, or numbers without a scale.
    """
    if isinstance(source, bytes):
        data, name = source, name or "the image"
    else:
        path = Path(source)
        name = f"image {path}"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"{name} cannot be read ({error.strerror}); name an image file that can be") from None
        except ValueError:
            raise UserError(f"{name!r} cannot be a path; name an image file") from None
    try:
        image = opaque_rgb(_decode(data))
    except ValueError as error:
        raise UserError(f"{name} cannot be taken: {error}") from None
    check_sides(image, name)
    return image


def check_sides(image: np.ndarray, name: str) -> None:
    """Raise UserError unless the image's sides have 1 to 16,384 pixels. name: what the error calls it, as in "frame 3"."""
    height, width = image.shape[:2]
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        remedy = "shrink or cut it first" if width and height else "and this is no picture at all"
        raise UserError(f"{name} has {width}x{height} pixels; a side may have 1 to {LARGEST_SIDE}, {remedy}")


def opaque_rgb(image: np.ndarray) -> np.ndarray:
    """An image, uint8 (height, width, 1 to 4: grey or RGB, with alpha), as RGB. ValueError if a pixel is transparent."""
    if image.shape[2] in (2, 4):
        transparent = int(np.count_nonzero(image[..., -1] != 255))
        if transparent:
            raise ValueError(
                f"{transparent:,} of its {image[..., -1].size:,} pixels are transparent, and what a viewer shows there depends on the"
                " viewer; lay it on a background of your choice and save it without transparency"
            )
        image = image[..., :-1]
    return image.repeat(3, -1) if image.shape[2] == 1 else image


def _decode(data: bytes) -> np.ndarray:
    if not data:
        raise ValueError("it is empty; fetch it or save it again")
    if is_lfs_pointer(data):
        raise ValueError("it is a pointer of Git LFS, not the file; fetch that with: git lfs pull")
    if data.startswith(SIGNATURE):
        return _decode_png(data)
    if re.match(rb"P[56]\s", data):
        return _decode_ppm(data)
    if _WEB_PAGE.match(data):
        raise ValueError("it is a web page, not an image; save the image that the page shows")
    return decode_with_pillow(data)


def _decode_png(data: bytes) -> np.ndarray:
    try:
        chunks = read_chunks(data)
        image = decode_chunks(chunks)
    except TooLarge as error:
        raise ValueError(f"{error}; shrink or cut it first") from None
    except ValueError as error:
        raise ValueError(f"{error}; fetch it or save it again") from None
    frames = int.from_bytes(chunks.get(b"acTL", b"")[:4], "big")
    if frames > 1:
        raise ValueError(f"it is an animation of {frames} pictures; save the one that is meant as a file of its own")
    colours = image.shape[2] - (image.shape[2] in (2, 4))
    shown = png_to_srgb(image[..., :colours], chunks)
    if colours != image.shape[2]:
        shown = np.dstack([shown, image[..., colours:]])
    return upright(shown, orientation_of(chunks.get(b"eXIf", b"")))


def _decode_ppm(data: bytes) -> np.ndarray:
    gap = rb"(?:\s+|#[^\n]*\n)+"
    header = re.match(rb"P([56])" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})\s", data)
    if header is None:
        raise ValueError("its PPM header is malformed; save it again")
    kind, width, height, maximum = (int(value) for value in header.groups())
    if not 1 <= maximum <= 65535:
        raise ValueError(f"its largest value is {maximum}, it may be 1 to 65535; save it again")
    channels, size = 3 if kind == 6 else 1, 1 if maximum < 256 else 2
    expected, found = width * height * channels * size, len(data) - header.end()
    if expected == 0 or found < expected:
        raise ValueError(
            f"its pixels are {found} bytes where {width}x{height} pixels need {expected}; fetch it or save it again"
        )
    values = np.frombuffer(data, np.uint8 if size == 1 else ">u2", expected // size, header.end())
    image = values.reshape(height, width, channels)
    if maximum == 255:
        return image
    if image.max() > maximum:
        raise ValueError(f"a value is {image.max()}, its largest is stated as {maximum}; save it again")
    return ((image.astype(np.uint32) * 510 + maximum) // (2 * maximum)).astype(np.uint8)


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture as a PNG file, whole or not at all, making missing directories.

    image: uint8 (height, width) grey or (height, width, 3) RGB. UserError if it cannot be written.
    """
    write_file(path, encode_png(image))
