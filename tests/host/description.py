"""A hardware description (.hwh) of the block design, by our own hand: minimal.hwh with the registers of moesaic.spec.registers in it.

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
