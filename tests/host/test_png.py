"""PNG against Pillow and against an encoder that forces each line filter."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from moesaic.host.png import SIGNATURE, decode_png, encode_png


def random_image(seed: int, *shape: int) -> np.ndarray:
    """Smooth with noise, so that encoders choose different filters, with extreme values mixed in."""
    rng = np.random.default_rng(seed)
    image = np.cumsum(rng.integers(-9, 10, shape), axis=1) + 128
    image[rng.random(shape) < 0.05] = 255
    return image.astype(np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def predictor(filters: int, left: int, up: int, corner: int) -> int:
    if filters == 4:
        return min((left, up, corner), key=lambda value: abs(left + up - corner - value))
    return (0, left, up, (left + up) // 2)[filters]


def encode_with_filters(image: np.ndarray, colour: int, filters: list[int], header: bytes | None = None) -> bytes:
    """By the definition of the filters, pixel by pixel."""
    height, width, channels = image.shape
    padded = np.zeros((height + 1, width + 1, channels), int)
    padded[1:, 1:] = image
    lines = bytearray()
    for y in range(height):
        lines.append(filters[y])
        for x in range(width):
            for c in range(channels):
                left, up, corner = padded[y + 1, x, c], padded[y, x + 1, c], padded[y, x, c]
                lines.append((int(image[y, x, c]) - predictor(filters[y] % 5, left, up, corner)) % 256)
    header = header or struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    data = zlib.compress(bytes(lines))
    half = len(data) // 2
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", data[:half])
        + chunk(b"IDAT", data[half:])
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4], ids=lambda n: f"{n}-channels")
@pytest.mark.parametrize("filters", [0, 1, 2, 3, 4, None], ids=lambda n: f"filter-{n}")
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_filters(seed, filters, channels):
    image = random_image(seed, 9, 11, channels)
    kinds = np.random.default_rng(seed).integers(0, 5, 9).tolist() if filters is None else [filters] * 9
    data = encode_with_filters(image, {1: 0, 2: 4, 3: 2, 4: 6}[channels], kinds)
    assert np.array_equal(decode_png(data), image)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (64, 1), (53, 67)], ids=str)
def test_files_of_pillow(mode, size):
    image = random_image(1, *size, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode])
    file = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if mode == "L" else image, mode).save(file, "PNG")
    assert np.array_equal(decode_png(file.getvalue()), image)


def test_palette_of_pillow():
    picture = Image.fromarray(random_image(2, 40, 30, 3)).quantize(256)
    file = io.BytesIO()
    picture.save(file, "PNG")
    assert np.array_equal(decode_png(file.getvalue()), np.asarray(picture.convert("RGB")))
    picture.info["transparency"] = 0
    picture.save(file := io.BytesIO(), "PNG")
    assert np.array_equal(decode_png(file.getvalue()), np.asarray(picture.convert("RGBA")))


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (1, 1, 3), (33, 20, 3)], ids=str)
def test_pillow_reads_what_is_written(shape):
    image = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)
    assert np.array_equal(decode_png(encode_png(image)).reshape(shape), image)
    assert encode_png(image) == encode_png(image.copy())


@pytest.mark.parametrize("image", [np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2)), np.zeros(4, np.uint8)], ids=str)
def test_other_arrays_are_not_written(image):
    with pytest.raises(ValueError, match="a picture is uint8"):
        encode_png(image)


GOOD = encode_png(random_image(4, 6, 6, 3))
TINY = np.zeros((2, 2, 3), np.uint8)
DAMAGED = {
    "empty": (b"", "no PNG signature"),
    "signature only": (SIGNATURE, "truncated"),
    "end missing": (GOOD[:-12], "truncated"),
    "last byte missing": (GOOD[:-1], "truncated"),
    "header altered": (GOOD[:20] + b"\x07" + GOOD[21:], "IHDR chunk is damaged"),
    "pixels altered": (GOOD[:50] + bytes([GOOD[50] ^ 1]) + GOOD[51:], "IDAT chunk is damaged"),
    "no pixels": (SIGNATURE + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b""), "no header or no pixels"),
    "16 bits": (encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)), "bit depth 16"),
    "interlaced": (encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 1)), "interlace 1"),
    "too few pixels": (
        encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 3, 8, 2, 0, 0, 0)),
        "14 bytes where 21",
    ),
    "too many pixels": (
        encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)),
        "bytes where 7",
    ),
    "huge": (encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 1 << 30, 1, 8, 2, 0, 0, 0)), "1073741824x1"),
    "unknown filter": (encode_with_filters(TINY, 2, [0, 5]), "filter 5"),
    "no palette": (encode_with_filters(TINY[..., :1], 3, [0, 0]), "palette"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_say_what_is_wrong(name):
    data, message = DAMAGED[name]
    with pytest.raises(ValueError, match=message):
        decode_png(data)
