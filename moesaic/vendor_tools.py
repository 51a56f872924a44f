"""AMD's tools: which ones the flows use, in which versions, and where they are. No tool is started to find out."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, int]


@dataclass(frozen=True)
class VendorTool:
    """A program of AMD's. oldest, newest: the versions that the flows were written for; newest is None for no end.

    unlocks: what needs the tool.
    """

    program: str
    oldest: Version
    newest: Version | None
    unlocks: str

    @property
    def range(self) -> str:
        """The supported versions in words."""
        first = "{}.{}".format(*self.oldest)
        return f"{first} and later" if self.newest is None else f"{first} to {'{}.{}'.format(*self.newest)}"


VIVADO = VendorTool("vivado", (2023, 1), None, "bitstreams: `moesaic bitstream`")
VITIS_HLS = VendorTool(
    "vitis_hls", (2023, 1), (2024, 2), "synthesis and co-simulation of the C++, bitstreams with ENGINE=hls"
)
VITIS_RUN = VendorTool("vitis-run", (2023, 2), None, "the same as vitis_hls, which it follows; 2023.1 has no vitis-run")


def find_tool(tool: VendorTool) -> Path | None:
    """Path of the program, or None if it is not in PATH."""
    found = shutil.which(tool.program)
    return None if found is None else Path(found)


def tool_version(path: Path) -> Version | None:
    """The version of an AMD program, read from its path, or None if that shows none.

    Paths are such as .../Vivado/2023.1/bin/vivado or .../2025.1/Vitis/bin/vitis-run.
    """
    found = re.findall(r"(?<![\d.])(20\d\d)\.(\d)(?![\d])", str(path.resolve()))
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def is_supported(tool: VendorTool, version: Version | None) -> bool:
    """Whether a version is in the tool's range; an unknown one (None) is given the benefit of the doubt."""
    if version is None:
        return True
    return tool.oldest <= version and (tool.newest is None or version <= tool.newest)
