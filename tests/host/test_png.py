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
    "3 bits": (encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 2, 3, 2, 0, 0, 0)), "bit depth 3"),
    "4-bit RGB": (encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 2, 4, 2, 0, 0, 0)), "bit depth 4"),
    "interlace 2": (encode_with_filters(TINY, 2, [0, 0], struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 2)), "interlace 2"),
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


def png(width: int, height: int, depth: int, colour: int, lines: bytes, interlace: int = 0, **chunks: bytes) -> bytes:
    """A file of these lines, each with its filter's byte; chunks: others, by type, before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    others = b"".join(chunk(kind.encode(), content) for kind, content in chunks.items())
    return SIGNATURE + chunk(b"IHDR", header) + others + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits(depth):
    """Grey is scaled to 0..255, indices of a palette are not; lines end at whole bytes."""
    values = np.random.default_rng(depth).integers(0, 1 << depth, (5, 13))
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1
    packed = np.packbits(bits.reshape(5, -1).astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + line.tobytes() for line in packed)
    assert np.array_equal(decode_png(png(13, 5, depth, 0, lines))[..., 0], values * 255 // ((1 << depth) - 1))
    palette = np.random.default_rng(9).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    assert np.array_equal(decode_png(png(13, 5, depth, 3, lines, PLTE=palette.tobytes())), palette[values])


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_are_rounded_to_the_nearest_of_8(colour, channels):
    values = np.random.default_rng(colour).integers(0, 65536, (6, 7, channels)).astype(">u2")
    values[0, :3] = np.array([0, 65535, 128])[:, None]
    data = png(7, 6, 16, colour, b"".join(b"\0" + line.tobytes() for line in values))
    assert np.array_equal(decode_png(data), np.floor(values / 257 + 0.5).astype(np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (8, 8), (21, 34)], ids=str)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_interlaced(mode, size):
    """By the definition of the seven passes."""
    picture = Image.fromarray(random_image(5, *size, 4), "RGBA")
    picture = (
        picture
        if mode == "RGBA"
        else picture.convert("RGB").quantize(16)
        if mode == "P"
        else picture.convert("RGB").convert(mode)
    )
    depth, colour = {"1": (1, 0), "L": (8, 0), "P": (8, 3), "RGB": (8, 2), "RGBA": (8, 6)}[mode]
    pixels = np.atleast_3d(np.asarray(picture))
    lines = b""
    for top, down, left, across in (
        (0, 8, 0, 8),
        (0, 8, 4, 8),
        (4, 8, 0, 4),
        (0, 4, 2, 4),
        (2, 4, 0, 2),
        (0, 2, 1, 2),
        (1, 2, 0, 1),
    ):
        part = pixels[top::down, left::across]
        for line in part if part.size else ():
            lines += b"\0" + (np.packbits(line.reshape(-1)) if mode == "1" else line).tobytes()
    palette = {"PLTE": bytes(picture.getpalette())} if mode == "P" else {}
    data = png(size[1], size[0], depth, colour, lines, interlace=1, **palette)
    expected = np.atleast_3d(np.asarray(picture.convert({"1": "L", "P": "RGB"}.get(mode, mode))))
    assert np.array_equal(decode_png(data), expected)
    assert np.array_equal(np.atleast_3d(np.asarray(Image.open(io.BytesIO(data)))), pixels)


def test_a_transparent_colour_becomes_alpha():
    grey = np.array([[0, 7, 255]], np.uint8)
    found = decode_png(png(3, 1, 8, 0, b"\0" + grey.tobytes(), tRNS=struct.pack(">H", 7)))
    assert np.array_equal(found, np.dstack([grey, [[255, 0, 255]]]))
    rgb = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    found = decode_png(png(2, 1, 8, 2, b"\0" + rgb.tobytes(), tRNS=struct.pack(">3H", 1, 2, 3)))
    assert found[..., 3].tolist() == [[0, 255]] and np.array_equal(found[..., :3], rgb)
    deep = np.array([[258, 257]], ">u2")  # both are 1 of 8 bits
    found = decode_png(png(2, 1, 16, 0, b"\0" + deep.tobytes(), tRNS=struct.pack(">H", 257)))
    assert found[..., 1].tolist() == [[255, 0]]
