"""Pixels of an image whose file says what its colours are, as sRGB, which is what viewers show and what networks are trained on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np

_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""Columns: the primaries of sRGB, adapted to D50, as ICC profiles state them."""
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_SRGB_GAMMA = 45455
_LARGEST_PROFILE = 1 << 23
_ALMOST = 2  # of 255: what profiles of sRGB differ by, in their tables and approximations
_LINEAR_BITS, _MATRIX_BITS = 16, 14
_CONVERT = "convert it to sRGB, as an image editor does when it saves for the web"

Curve = Callable[[np.ndarray], np.ndarray]
"""From values 0..1 of a file to light 0..1."""


def profile_to_srgb(image: np.ndarray, profile: bytes) -> np.ndarray:
    """An image, uint8 (height, width, 1 or 3), in the colours of an ICC profile (ICC.1) as sRGB; grey becomes RGB by an RGB profile.

    What a profile of sRGB describes is returned unchanged. Colours outside sRGB are clipped. Profiles of a matrix and curves, or of a
    grey curve, are converted; ValueError for all others, such as those of printers.
    """
    tags, space = _tags(profile)
    if "A2B0" in tags or space not in ("RGB ", "GRAY") or (space == "GRAY" and image.shape[2] == 3):
        raise ValueError(
            f"its colour profile, of {space.strip()} colours, is more than a matrix and curves; {_CONVERT}"
        )
    try:
        if space == "GRAY":
            return _converted(image, [_curve(tags["kTRC"])], None)
        curves = [_curve(tags[name]) for name in ("rTRC", "gTRC", "bTRC")]
        to_xyz = np.stack([np.array(struct.unpack_from(">3i", tags[name], 8)) for name in ("rXYZ", "gXYZ", "bXYZ")], 1)
    except (KeyError, struct.error, IndexError, ZeroDivisionError):
        raise ValueError(f"its colour profile is damaged; {_CONVERT}") from None
    return _converted(
        image if image.shape[2] == 3 else image.repeat(3, -1), curves, np.linalg.inv(_SRGB_TO_XYZ) @ (to_xyz / 65536)
    )


def png_to_srgb(image: np.ndarray, chunks: dict[bytes, bytes]) -> np.ndarray:
    """An image, uint8 (height, width, 1 or 3), of a PNG file with these chunks, as sRGB.

    Of the chunks that say what colours are, the one counts that PNG gives precedence: cICP, iCCP, sRGB, gAMA and cHRM. ValueError for
    colours that cannot be converted.
    """
    if b"cICP" in chunks:
        if tuple(chunks[b"cICP"][:2]) != (1, 13):
            raise ValueError(f"its cICP chunk says that its colours are not sRGB; {_CONVERT}")
        return image
    if b"iCCP" in chunks:
        try:
            packed = chunks[b"iCCP"].split(b"\0", 1)[1][1:]
            profile = zlib.decompressobj().decompress(packed, _LARGEST_PROFILE)
        except (IndexError, zlib.error):
            raise ValueError(f"its colour profile is damaged; {_CONVERT}") from None
        return profile_to_srgb(image, profile)
    if b"sRGB" in chunks:
        return image
    gamma = int.from_bytes(chunks[b"gAMA"][:4], "big") if b"gAMA" in chunks else None
    chromaticities = struct.unpack(">8I", chunks[b"cHRM"]) if len(chunks.get(b"cHRM", b"")) == 32 else None
    return gamma_to_srgb(image, gamma, chromaticities)


def gamma_to_srgb(image: np.ndarray, gamma: int | None, chromaticities: tuple[int, ...] | None) -> np.ndarray:
    """An image, uint8 (height, width, 1 or 3), with PNG's gAMA and cHRM, in units of 1/100,000 and None where absent, as sRGB."""
    if gamma is None:  # without it, viewers ignore cHRM, too
        return image
    if gamma == 0:
        raise ValueError(f"its gAMA chunk says 0; {_CONVERT}")
    distances = [abs(a - b) for a, b in zip(chromaticities or (), _SRGB_CHROMATICITIES)]
    if image.shape[2] == 3 and max(distances, default=0) > 500:
        raise ValueError(f"its cHRM chunk says that its primaries are not those of sRGB; {_CONVERT}")
    if abs(gamma - _SRGB_GAMMA) <= 1000:
        return image
    return _converted(image, [_power(100_000 / gamma)] * image.shape[2], None)


def _tags(profile: bytes) -> tuple[dict[str, bytes], str]:
    """The tagged elements of a profile, and its colour space."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ValueError(f"its colour profile is damaged; {_CONVERT}")
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {}
    for index in range(min(count, (len(profile) - 132) // 12)):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        tags[name.decode("latin-1")] = profile[offset : offset + size]
    return tags, profile[16:20].decode("latin-1")


def _power(exponent: float) -> Curve:
    return lambda value: np.power(value, exponent)


def _curve(element: bytes) -> Curve:
    """A curveType or parametricCurveType element."""
    kind = element[:4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", element, 8)
        if count == 0:
            return lambda value: value
        if count == 1:
            return _power(struct.unpack_from(">H", element, 12)[0] / 256)
        table = np.array(struct.unpack_from(f">{count}H", element, 12)) / 65535
        return lambda value: np.interp(value, np.linspace(0, 1, count), table)
    if kind != b"para":
        raise KeyError(kind)
    (function,) = struct.unpack_from(">H", element, 8)
    g, a, b, c, d, e, f = _parameters(function, element)

    def parametric(value: np.ndarray) -> np.ndarray:
        return np.where(value >= d, np.power(np.maximum(a * value + b, 0), g) + e, c * value + f)

    return parametric


def _parameters(function: int, element: bytes) -> tuple[float, ...]:
    """g, a, b, c, d, e, f of (a x + b)^g + e from x = d on, and c x + f below it, which all five functions can be written as."""
    given = [n / 65536 for n in struct.unpack_from(f">{(1, 3, 4, 5, 7)[function]}i", element, 12)]
    if function == 0:
        return given[0], 1, 0, 0, 0, 0, 0
    g, a, b = given[:3]
    if function in (1, 2):
        offset = given[3] if function == 2 else 0.0
        return g, a, b, 0, -b / a, offset, offset
    c, d, e, f = [*given[3:], 0.0, 0.0][:4]
    return g, a, b, c, d, e, f


def _encoded(light: np.ndarray) -> np.ndarray:
    """sRGB's values 0..255 of light 0..1."""
    low = light * 12.92
    return 255 * np.where(light <= 0.0031308, low, 1.055 * np.power(np.maximum(light, 0.0031308), 1 / 2.4) - 0.055)


def _converted(image: np.ndarray, curves: list[Curve], matrix: np.ndarray | None) -> np.ndarray:
    """Each channel through its curve, all through a matrix of light, and back to sRGB; unchanged if that is next to nothing."""
    values = np.arange(256) / 255
    one = (1 << _LINEAR_BITS) - 1
    light = [np.clip(np.floor(np.clip(curve(values), 0, 1) * one + 0.5), 0, one).astype(np.int64) for curve in curves]
    back = np.floor(_encoded(np.arange(one + 1) / one) + 0.5).astype(np.uint8)
    weights = None if matrix is None else np.floor(matrix * (1 << _MATRIX_BITS) + 0.5).astype(np.int64)

    def convert(pixels: np.ndarray) -> np.ndarray:
        linear = np.stack([table[pixels[..., c]] for c, table in enumerate(light)], -1)
        if weights is not None:
            linear = (linear @ weights.T + (1 << (_MATRIX_BITS - 1))) >> _MATRIX_BITS
        return back[linear.clip(0, one)]

    steps = np.arange(0, 256, 15 if len(curves) == 3 else 1).astype(np.uint8)
    samples = np.stack(np.meshgrid(*[steps] * len(curves), indexing="ij"), -1)
    if np.abs(convert(samples).astype(int) - samples).max() <= _ALMOST:
        return image
    result = np.empty_like(image)
    for y in range(0, len(image), 64):  # 64 rows at a time take little memory
        result[y : y + 64] = convert(image[y : y + 64])
    return result
