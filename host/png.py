"""PNG with numpy and zlib, so that a board needs no imaging library to read an image or show a result.

Reads images of every colour type, bit depth and interlacing (ISO/IEC 15948); writes 8-bit grey and RGB.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGB_ALPHA: (8, 16)}
_ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""First row, rows apart, first column, columns apart of each pass of an interlaced image."""
_LARGEST_SIDE = 16_384


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def encode_png(image: np.ndarray, compression: int = 9) -> bytes:
    """The PNG file of an image, uint8 (height, width) grey or (height, width, 3) RGB; the same image gives the same bytes.

    compression: 0 to 9, zlib's level: the higher, the smaller and slower. ValueError for another shape or dtype.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"a picture is uint8 (height, width) or (height, width, 3), not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    lines = np.zeros((height, 1 + image[0].size), np.uint8)  # a filter byte of 0, then the pixels
    lines[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB if image.ndim == 3 else _GREY, 0, 0, 0)
    pixels = zlib.compress(lines.tobytes(), compression)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


class TooLarge(ValueError):
    """A file is sound, but has more pixels than are read."""


def decode_png(data: bytes) -> np.ndarray:
    """The image in a PNG file, uint8 (height, width, channels), see decode_chunks. ValueError as read_chunks and decode_chunks."""
    return decode_chunks(read_chunks(data))


def decode_chunks(chunks: dict[bytes, bytes]) -> np.ndarray:
    """The image in a file's chunks, uint8 (height, width, channels): 1 grey, 2 grey and alpha, 3 RGB (also from a palette), 4 RGBA.

    Other bit depths are rescaled to 8 bits, to the nearest value. A transparent colour and a palette with transparency give an alpha
    channel. ValueError says what is wrong with the file, TooLarge that its sides are too long.
    """
    if len(chunks.get(b"IHDR", b"")) != 13 or b"IDAT" not in chunks:
        raise ValueError("it has no header or no pixels")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if depth not in _DEPTHS.get(colour, ()) or interlace not in (0, 1) or compression or filtering:
        raise ValueError(f"there is no bit depth {depth} of colour type {colour}, or no interlace {interlace}")
    if not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
        raise TooLarge(f"it is {width}x{height} pixels, a side may have 1 to {_LARGEST_SIDE}")
    passes = [p for p in (_ADAM7 if interlace else [(0, 1, 0, 1)]) if p[0] < height and p[2] < width]
    sizes = [(-(-(height - top) // down), -(-(width - left) // across)) for top, down, left, across in passes]
    channels = _CHANNELS[colour]
    pitches = [-(-columns * channels * depth // 8) for _, columns in sizes]
    expected = sum(rows * (1 + pitch) for (rows, _), pitch in zip(sizes, pitches))
    try:
        raw = zlib.decompressobj().decompress(chunks[b"IDAT"], expected + 1)
    except zlib.error as error:
        raise ValueError(f"its pixels are damaged ({error})") from None
    if len(raw) != expected:
        raise ValueError(f"its pixels are {len(raw)} bytes where {expected} belong")
    image = np.empty((height, width, channels), np.uint16 if depth == 16 else np.uint8)
    position = 0
    for (top, down, left, across), (rows, columns), pitch in zip(passes, sizes, pitches):
        part = raw[position : position + rows * (1 + pitch)]
        position += len(part)
        lines = _unfilter(part, rows, pitch, max(1, channels * depth // 8))
        image[top::down, left::across] = _samples(lines, depth, columns * channels).reshape(rows, columns, channels)
    if colour == _PALETTE:
        return _look_up(image, chunks)
    key = chunks.get(b"tRNS", b"") if colour in (_GREY, _RGB) else b""
    seen = _opaque(image, key) if len(key) == 2 * channels else None
    shown = image if depth == 8 else _rescaled(image, depth)
    return shown if seen is None else np.dstack([shown, np.where(seen, np.uint8(255), np.uint8(0))])


def _samples(lines: np.ndarray, depth: int, count: int) -> np.ndarray:
    """The first `count` samples of `depth` bits in each line of bytes: uint8, or uint16 of 16 bits."""
    if depth == 16:
        return lines.view(">u2")
    if depth == 8:
        return lines
    bits = np.unpackbits(lines, axis=1)[:, : count * depth].reshape(len(lines), count, depth)
    return bits @ (1 << np.arange(depth)[::-1]).astype(np.uint8)


def _rescaled(image: np.ndarray, depth: int) -> np.ndarray:
    largest = (1 << depth) - 1
    return ((image.astype(np.uint32) * 510 + largest) // (2 * largest)).astype(np.uint8)


def _opaque(image: np.ndarray, key: bytes) -> np.ndarray:
    """Where the samples are not those of the transparent colour, bool (height, width)."""
    return (image != np.frombuffer(key, ">u2").astype(np.uint16)).any(-1)


def read_chunks(data: bytes) -> dict[bytes, bytes]:
    """Chunk type to content, repeated chunks joined. ValueError for a wrong signature, length or checksum."""
    if not data.startswith(SIGNATURE):
        raise ValueError("it has no PNG signature")
    chunks: dict[bytes, bytes] = {}
    position = len(SIGNATURE)
    while b"IEND" not in chunks:
        if position + 12 > len(data):
            raise ValueError("it is truncated")
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        position += 12 + length
        if position > len(data):
            raise ValueError("it is truncated")
        if zlib.crc32(kind + content) != int.from_bytes(data[position - 4 : position], "big"):
            raise ValueError(f"its {kind.decode('latin-1')} chunk is damaged")
        chunks[kind] = chunks.get(kind, b"") + content
    return chunks


def _look_up(image: np.ndarray, chunks: dict[bytes, bytes]) -> np.ndarray:
    entries = chunks.get(b"PLTE", b"")
    if not entries or len(entries) % 3 or image.max() >= len(entries) // 3:
        raise ValueError("its palette is missing or too short")
    colours = np.frombuffer(entries, np.uint8).reshape(-1, 3)
    if b"tRNS" in chunks:
        alpha = np.full((len(colours), 1), 255, np.uint8)
        given = np.frombuffer(chunks[b"tRNS"], np.uint8)[: len(colours)]
        alpha[: len(given), 0] = given
        colours = np.hstack([colours, alpha])
    return colours[image[..., 0]]


def _unfilter(raw: bytes, height: int, pitch: int, step: int) -> np.ndarray:
    """Undo the line filters. pitch: bytes per line. step: bytes per pixel. Returns uint8 (height, pitch)."""
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + pitch)
    result = np.zeros((height, pitch), np.uint8)
    above = np.zeros(pitch, np.uint8)
    for kind, line, target in zip(lines[:, 0].tolist(), lines[:, 1:], result):
        if kind == 0:
            target[:] = line
        elif kind == 1:
            target[:] = np.cumsum(line.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
        elif kind == 2:
            target[:] = line + above
        elif kind in (3, 4):
            target[:] = np.frombuffer(
                (_average if kind == 3 else _paeth)(line.tolist(), above.tolist(), step), np.uint8
            )
        else:
            raise ValueError(f"a line has filter {kind}, 0 to 4 exist")
        above = target
    return result


def _average(line: list[int], above: list[int], step: int) -> bytes:
    result = [0] * step
    for value, up in zip(line, above):
        result.append((value + ((result[-step] + up) >> 1)) & 255)
    return bytes(result[step:])


def _paeth(line: list[int], above: list[int], step: int) -> bytes:
    result, corner = [0] * step, [0] * step + above
    for value, up, up_left in zip(line, above, corner):
        left = result[-step]
        to_left, to_up, to_corner = abs(up - up_left), abs(left - up_left), abs(left + up - 2 * up_left)
        rest = up if to_up <= to_corner else up_left
        result.append((value + (left if to_left <= to_up and to_left <= to_corner else rest)) & 255)
    return bytes(result[step:])
