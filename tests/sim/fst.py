"""A reader of what an FST file says about itself: its times and its signals, not their values.

The format: https://gtkwave.sourceforge.net/gtkwave.pdf, appendix "Implementation of an efficient method for digital waveform
compression", and its layout as Verilator's writer has it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER, _HIERARCHY_LZ4 = 0, 6
_SCOPE, _UPSCOPE, _ATTRIBUTE, _END_ATTRIBUTE = 254, 255, 252, 253


@dataclass(frozen=True)
class Waveform:
    """start, end: in units of 10**scale seconds. signals: their names with their scopes, joined by dots."""

    start: int
    end: int
    scale: int
    signals: tuple[str, ...]


def read_fst(path: Path) -> Waveform:
    data = path.read_bytes()
    blocks = {}
    position = 0
    while position < len(data):
        kind, length = struct.unpack_from(">BQ", data, position)
        blocks[kind] = data[position + 9 : position + 1 + length]
        position += 1 + length
    assert position == len(data)
    start, end = struct.unpack_from(">QQ", blocks[_HEADER])
    (scale,) = struct.unpack_from("b", blocks[_HEADER], 64)
    hierarchy = blocks[_HIERARCHY_LZ4]
    (size,) = struct.unpack_from(">Q", hierarchy)
    text = decompress_lz4(hierarchy[8:])
    assert len(text) == size
    return Waveform(start, end, scale, tuple(_signals(text)))


def decompress_lz4(block: bytes) -> bytes:
    """The content of one LZ4 block."""
    position = 0
    content = bytearray()

    def length(first: int) -> int:
        nonlocal position
        total = first
        while first == 15:
            total += block[position]
            position += 1
            if block[position - 1] != 255:
                break
        return total

    while True:
        token = block[position]
        position += 1
        literals = length(token >> 4)
        content += block[position : position + literals]
        position += literals
        if position == len(block):
            return bytes(content)
        (offset,) = struct.unpack_from("<H", block, position)
        position += 2
        assert 0 < offset <= len(content)
        for _ in range(length(token & 15) + 4):
            content.append(content[-offset])


def _signals(text: bytes) -> list[str]:
    position = 0
    scopes: list[str] = []
    signals = []

    def word() -> str:
        nonlocal position
        end = text.index(b"\0", position)
        value, position = text[position:end].decode(), end + 1
        return value

    def number() -> None:
        nonlocal position
        while text[position] & 0x80:
            position += 1
        position += 1

    while position < len(text):
        kind = text[position]
        position += 1
        if kind == _SCOPE:
            position += 1
            scopes.append(word())
            word()
        elif kind == _UPSCOPE:
            scopes.pop()
        elif kind == _ATTRIBUTE:
            position += 2
            word()
            number()
        elif kind != _END_ATTRIBUTE:
            position += 1
            signals.append(".".join([*scopes, word().split(" ")[0]]))
            number()
            number()
    return signals
