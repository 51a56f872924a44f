"""A bitstream without content and the hardware description (.hwh) of the block design.

The description is by our own hand: minimal.hwh with the registers of moesaic.spec.registers in it.

Each register has the four properties that PYNQ's reader looks up without asking whether they are there.
"""

from pathlib import Path
from xml.sax.saxutils import quoteattr

from moesaic.spec.registers import REGISTERS, Register

_EMPTY = "<REGISTERS/>"
_ACCESS = {"rw": "read-write", "ro": "read-only", "w1c": "read-write"}


def _entry(register: Register) -> str:
    properties = {
        "DESCRIPTION": register.doc,
        "ADDRESS_OFFSET": f"0x{register.offset:03x}",
        "SIZE": "32",
        "ACCESS": _ACCESS[register.access],
    }
    lines = [f"<PROPERTY NAME={quoteattr(name)} VALUE={quoteattr(value)}/>" for name, value in properties.items()]
    return "\n".join([f"<REGISTER NAME={quoteattr(register.name)}>", *lines, "</REGISTER>"])


def description() -> str:
    text = (Path(__file__).parent / "minimal.hwh").read_text()
    assert text.count(_EMPTY) == 1
    return text.replace(_EMPTY, "\n".join(["<REGISTERS>", *map(_entry, REGISTERS), "</REGISTERS>"]))


def bitstream(data: bytes = bytes(64)) -> bytes:
    """A .bit file: a header as Vivado writes it, field by field (PYNQ's parse_bit_header reads it), and data for the fabric."""

    def text(key: bytes, value: bytes) -> bytes:
        return key + (len(value) + 1).to_bytes(2, "big") + value + b"\0"

    fields = {
        b"a": b"system_wrapper;UserID=0XFFFFFFFF;Version=2023.1",
        b"b": b"xczu7ev",
        b"c": b"2023/11/21",
        b"d": b"12:00:00",
    }
    header = b"\x00\x09" + bytes.fromhex("0ff00ff00ff00ff000") + b"\x00\x01"
    return header + b"".join(text(*field) for field in fields.items()) + b"e" + len(data).to_bytes(4, "big") + data
