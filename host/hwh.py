"""What Vivado says about a bitstream in the .hwh file beside it, read before the bitstream is loaded.

The file is XML. MODULES/MODULE is a block, with its VLNV (vendor:library:name:version), its ports and, in ADDRESSBLOCKS, its
registers; the address at which a processor sees it is a MEMRANGE in that processor's MEMORYMAP. PYNQ reads the same entries.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from moesaic.errors import UserError
from moesaic.spec.registers import BY_NAME, REGISTER_FILE_BYTES

IP_NAME = "accelerator"
"""Third part of the VLNV of the accelerator's block."""


def accelerator_of(path: Path) -> str:
    """PYNQ's name for the accelerator that a .hwh file describes.

    UserError if it cannot be read, does not describe exactly one accelerator, or places registers elsewhere than we do.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(
            f"{path} is no hardware description ({error}); take the .hwh that Vivado wrote with the bitstream"
        ) from None
    modules = list(root.iter("MODULE"))
    found = [module for module in modules if module.get("VLNV", "").split(":")[2:3] == [IP_NAME]]
    if len(found) != 1:
        others = ", ".join(sorted(module.get("INSTANCE", "?") for module in modules)) or "none"
        raise UserError(
            f"{path} describes {len(found)} blocks of type {IP_NAME} where 1 belongs; it has {others}; "
            "use a bitstream that was made from a build of moesaic"
        )
    instance = found[0].get("INSTANCE", "")
    _check_range(path, root, instance)
    _check_registers(path, found[0])
    return found[0].get("FULLNAME", instance).lstrip("/")


def _check_range(path: Path, root: ElementTree.Element, name: str) -> None:
    ranges = [entry for entry in root.iter("MEMRANGE") if entry.get("INSTANCE") == name]
    sizes = [int(entry.get("HIGHVALUE", "0"), 0) - int(entry.get("BASEVALUE", "0"), 0) + 1 for entry in ranges]
    if not sizes or max(sizes) < REGISTER_FILE_BYTES:
        raise UserError(
            f"{path} gives block {name} {max(sizes, default=0)} bytes of addresses, its registers take "
            f"{REGISTER_FILE_BYTES}; assign them in the block design and make the bitstream again"
        )


def _check_registers(path: Path, module: ElementTree.Element) -> None:
    """Registers that the file lists and that we know by name must lie where we expect them."""
    for register in module.iter("REGISTER"):
        name = register.get("NAME", "")
        offsets = [p.get("VALUE", "") for p in register.iter("PROPERTY") if p.get("NAME") == "ADDRESS_OFFSET"]
        if name in BY_NAME and offsets and int(offsets[0], 0) != BY_NAME[name].offset:
            raise UserError(
                f"{path} has register {name} at {int(offsets[0], 0):#05x}, this program expects it at "
                f"{BY_NAME[name].offset:#05x}; make the bitstream and the build with one version of moesaic"
            )
