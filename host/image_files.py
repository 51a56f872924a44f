"""Reads images from files and writes pictures to files; PNG and PPM need no imaging library."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import write_file
from moesaic.host.png import SIGNATURE, decode_png, encode_png
from moesaic.spec.resize import LARGEST_SIDE

__all__ = ["check_rgb", "encode_png", "read_image", "write_picture"]

ACCEPTED = (
    "RGB images in PNG (8-bit, not interlaced) or PPM (P6, 8-bit) are read, other formats where Pillow is installed"
)
"""What errors say about the formats."""


def check_rgb(image: np.ndarray, name: str) -> None:
    """Raise UserError unless `image` is uint8 (height, width, 3) with sides of 1 to 16,384 pixels.

    name: what the error calls the image, as in "frame 3".
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"{name} is {image.dtype} {image.shape}, not uint8 (height, width, 3) RGB; convert it to RGB")
    if not all(1 <= side <= LARGEST_SIDE for side in image.shape[:2]):
        height, width = image.shape[:2]
        raise UserError(f"{name} has {width}x{height} pixels; a side may have 1 to {LARGEST_SIDE}, shrink it first")


def read_image(path: Path | str) -> np.ndarray:
    """Read an image file as uint8 (height, width, 3), RGB.

    path: 8-bit PNG or binary PPM, or any format that Pillow reads if it is installed. A fully opaque alpha channel is dropped.
    Raises UserError if the file cannot be read, has a side of more than 16,384 pixels, or is grey or transparent, because guessing
    colours or a background would change the prediction.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"image {path} cannot be read ({error.strerror}); {ACCEPTED}") from None
    try:
        if data.startswith(SIGNATURE):
            image = decode_png(data)
        elif data.startswith(b"P6"):
            image = _decode_ppm(data)
        else:
            image = _decode_with_pillow(path)
    except ValueError as error:
        raise UserError(f"image {path} cannot be read: {error}; {ACCEPTED}") from None
    if image.shape[2] in (2, 4) and image[..., -1].min() == 255:
        image = image[..., :-1]
    if image.shape[2] != 3:
        found = {1: "grey", 2: "grey with transparency", 4: "RGB with transparency"}[image.shape[2]]
        raise UserError(f"image {path} has {image.shape[2]} channels ({found}), a network takes 3; convert it to RGB")
    check_rgb(image, f"image {path}")
    return image


def _decode_ppm(data: bytes) -> np.ndarray:
    header = re.match(rb"P6(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s", data)
    if header is None:
        raise ValueError("its PPM header is malformed")
    width, height, maximum = (int(value) for value in header.groups())
    if maximum != 255:
        raise ValueError(f"its largest value is {maximum}, 8-bit images have 255")
    expected, found = width * height * 3, len(data) - header.end()
    if expected == 0 or found < expected:
        raise ValueError(f"its pixels are {found} bytes where {width}x{height} pixels need {expected}")
    return np.frombuffer(data, np.uint8, expected, header.end()).reshape(height, width, 3)


def _decode_with_pillow(path: Path) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError:
        raise ValueError("it is neither PNG nor PPM, and Pillow, which reads other formats, is missing") from None
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            if mode not in ("L", "LA", "P", "RGB", "RGBA"):
                raise ValueError(f"its colours are {mode}")
            return np.atleast_3d(np.asarray(picture.convert("RGB") if mode == "P" else picture))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error).replace("\n", " ")) from None


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture as a PNG file, whole or not at all, making missing directories.

    image: uint8 (height, width) grey or (height, width, 3) RGB. UserError if it cannot be written.
    """
    write_file(path, encode_png(image))
