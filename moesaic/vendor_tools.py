"""AMD's tools: which of them the flows use, which versions, and where they are found. Nothing is started to find them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, int]


@dataclass(frozen=True)
class VendorTool:
    """oldest, newest: versions that the flows were written for, newest None for no end; unlocks: what needs the tool."""

    program: str
    oldest: Version
    newest: Version | None
    unlocks: str

    @property
    def range(self) -> str:
        first = "{}.{}".format(*self.oldest)
        return f"{first} and later" if self.newest is None else f"{first} to {'{}.{}'.format(*self.newest)}"


VIVADO = VendorTool("vivado", (2023, 1), None, "bitstreams: `moesaic bitstream`")
VITIS_HLS = VendorTool(
    "vitis_hls", (2023, 1), (2024, 2), "synthesis and co-simulation of the C++, bitstreams with ENGINE=hls"
)
VITIS_RUN = VendorTool("vitis-run", (2023, 1), None, "the same as vitis_hls, which it follows")


def find_tool(tool: VendorTool) -> Path | None:
    """Where the program lies, or None if it is not in PATH."""
    found = shutil.which(tool.program)
    return None if found is None else Path(found)


def tool_version(path: Path) -> Version | None:
    """The version of a program of AMD's, from its place: .../Vivado/2023.1/bin/vivado or .../2025.1/Vitis/bin/vitis-run."""
    found = re.findall(r"(?<![\d.])(20\d\d)\.(\d)(?![\d])", str(path.resolve()))
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def is_supported(tool: VendorTool, version: Version | None) -> bool:
    """Whether a version lies in the tool's range; one that is not known is given the benefit of the doubt."""
    if version is None:
        return True
    return tool.oldest <= version and (tool.newest is None or version <= tool.newest)
