"""Damage to files: bytes of any file, nodes of JSON, values of TOML, and the files of an archive, as choices say."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from tests.verify.fuzz.choices import Choices

_BYTES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\n",
    b'"',
    b"../",
    b"\xc3\x28",
)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 256, 65_536, -(1 << 31), 1 << 31, 1 << 63, 10**30, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "a", "\0", "../../x", "0", "é" * 300, [], [[]], [None], [-1], [1, 2, 3], {}, {"": None}, {"a": {"b": []}},
)  # fmt: skip


def damaged_bytes(data: bytes, choices: Choices) -> bytes:
    """One to four changes: cut off, drop, repeat, overwrite, insert, flip a bit, or swap two parts."""
    found = bytearray(data)
    for _ in range(1 + choices.below(4)):
        start = choices.below(len(found) + 1)
        length = choices.one_of([1, 2, 4, 16, 1 + choices.below(256)])
        match choices.below(8):
            case 0:
                del found[start:]
            case 1:
                del found[start : start + length]
            case 2:
                found[start:start] = found[start : start + length]
            case 3:
                value = choices.one_of(_BYTES)
                found[start : start + len(value)] = value
            case 4:
                found[start:start] = choices.one_of(_BYTES) * choices.one_of([1, 1, 1, 64])
            case 5 | 6 if found:
                found[start % len(found)] ^= 1 << choices.below(8)
            case _:
                other = choices.below(len(found) + 1)
                low, high = sorted((start, other))
                found[low:] = found[high:] + found[low:high]
    return bytes(found)


def damaged_node(value: Any, choices: Choices) -> Any:
    """A copy of a value of JSON in which one node is replaced, left out, renamed, repeated or a little off."""
    if isinstance(value, dict) and value and not choices.rarely(6):
        key = choices.one_of(sorted(value))
        match choices.below(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, choices.one_of(["", "x", key.upper(), f"{key}x"]): value[key]}
            case _:
                return {**value, key: damaged_node(value[key], choices)}
    if isinstance(value, list) and value and not choices.rarely(6):
        index = choices.below(len(value))
        match choices.below(8):
            case 0:
                return value[:index] + value[index + 1 :]
            case 1:
                return value[: index + 1] + value[index:]
            case _:
                return [*value[:index], damaged_node(value[index], choices), *value[index + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and choices.below(2):
        return value + choices.one_of([1, -1, 2, 16, value, -value, -2 * value])
    if isinstance(value, str) and value and choices.below(2):
        return damaged_bytes(value.encode(), choices).decode(errors="replace")
    return choices.one_of(_VALUES)


_TOML_VALUES = (
    "0", "-1", "1", "3", "65536", "1e9", "nan", "inf", "9223372036854775807", "true", '""', '"a"', '"../x"', "[]", "[[]]", "[1, 2]", "{}",
    "1979-05-27", "",
)  # fmt: skip


def damaged_toml(text: str, choices: Choices) -> str:
    """A line is left out, repeated, moved or given another value; or bytes change."""
    lines = text.splitlines()
    for _ in range(1 + choices.below(2)):
        index = choices.below(len(lines))
        match choices.below(8):
            case 0:
                del lines[index]
            case 1:
                lines.insert(choices.below(len(lines) + 1), lines[index])
            case 2:
                text = damaged_bytes("\n".join(lines).encode(), choices).decode(errors="replace")
                lines = text.splitlines()
            case 3:
                lines[index] = re.sub(
                    r"\d+", lambda found: str(int(found[0]) + choices.one_of([1, -1, 2, 8, 100])), lines[index]
                )
            case _ if "=" in lines[index]:
                lines[index] = f"{lines[index].partition('=')[0]}= {choices.one_of(_TOML_VALUES)}"
            case _:
                lines[index] = choices.one_of(["[x]", "[[x]]", "x = 1", "[", "=", '"""'])
        lines = lines or [""]
    return "\n".join(lines) + "\n"


def damaged_zip(data: bytes, choices: Choices, damage: Callable[[bytes, Choices], bytes] = damaged_bytes) -> bytes:
    """An archive of which one file is damaged, left out or renamed; its own checks are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if not files:
        return damaged_bytes(data, choices)
    name = choices.one_of(sorted(files))
    match choices.below(8):
        case 0:
            del files[name]
        case 1:
            files[f"{name}x"] = files.pop(name)
        case _:
            files[name] = damage(files[name], choices)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    return made.getvalue()


def damaged_npy(data: bytes, choices: Choices) -> bytes:
    """An array of numpy in a file: another type, another shape, or other bytes."""
    text = data[10 : 10 + int.from_bytes(data[8:10], "little")].decode("latin1")
    match choices.below(4):
        case 0:
            old = re.search(r"'descr': '([^']*)'", text)
            text = (
                text.replace(old[1], choices.one_of(["<i1", "|u1", "<i8", "<f4", "<U4", "|O", ">i4", "<f8", "|V3"]))
                if old
                else text
            )
        case 1:
            text = re.sub(
                r"\d+", lambda found: str(choices.one_of([0, 1, int(found[0]) + 1, 1 << 20, 1 << 40])), text, count=1
            )
        case 2:
            return damaged_bytes(data, choices)
        case _:
            start = 10 + len(text)
            body = bytearray(data[start:])
            for _ in range(1 + choices.below(8)):
                if body:
                    body[choices.below(len(body))] = choices.below(256)
            return data[:start] + bytes(body)
    header = text.encode("latin1")
    return data[:8] + len(header).to_bytes(2, "little") + header + data[10 + int.from_bytes(data[8:10], "little") :]


def damaged_png(data: bytes, choices: Choices) -> bytes:
    """A chunk is damaged, left out, repeated or renamed; its checksum is right again."""
    import zlib

    chunks, position = [], 8
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    index = choices.below(len(chunks))
    kind, body = chunks[index]
    match choices.below(8):
        case 0:
            del chunks[index]
        case 1:
            chunks.insert(index, chunks[index])
        case 2:
            chunks[index] = (choices.one_of([b"IHDR", b"IDAT", b"IEND", b"tRNS", b"PLTE", b"abcd"]), body)
        case 3 if kind == b"IDAT":
            try:
                chunks[index] = (kind, zlib.compress(damaged_bytes(zlib.decompress(body), choices)))
            except zlib.error:
                chunks[index] = (kind, damaged_bytes(body, choices))
        case _:
            chunks[index] = (kind, damaged_bytes(body, choices))
    made = data[:8]
    for kind, body in chunks:
        made += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return made


def damaged_safetensors(data: bytes, choices: Choices, damage_header: Callable[[Any, Choices], Any]) -> bytes:
    """The header changes, with its length right again; or bytes of the file do."""
    import json

    (length,) = struct.unpack("<Q", data[:8])
    if choices.rarely(4):
        return damaged_bytes(data, choices)
    header = json.dumps(damage_header(json.loads(data[8 : 8 + length]), choices)).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]
