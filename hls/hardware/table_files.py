"""Every file of the repository that is derived from tables: `moesaic tables` writes them, and a test compares them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from moesaic.hls.hardware.generated_files import (
    cpp_header,
    cpp_legality,
    isa_page,
    registers_page,
    systemverilog_package,
)
from moesaic.hls.hardware.register_files import ip_xact, system_rdl
from moesaic.hls.hardware.runtime_tables import runtime_tables
from moesaic.hls.hardware.source_manifests import RTL_IN_REPOSITORY, bender_manifest, file_list, fusesoc_core

TABLE_FILES: dict[str, Callable[[], str]] = {
    f"{RTL_IN_REPOSITORY}/moesaic_isa_pkg.sv": systemverilog_package,
    f"{RTL_IN_REPOSITORY}/moesaic_accelerator.f": file_list,
    "hls/hardware/cpp/isa.hpp": cpp_header,
    "hls/hardware/cpp/legality.hpp": cpp_legality,
    "hls/hardware/registers/moesaic_registers.rdl": system_rdl,
    "hls/hardware/registers/moesaic_registers.xml": lambda: ip_xact(version("moesaic")),
    "docs/isa.md": isa_page,
    "docs/registers.md": registers_page,
    "host/cpp/src/tables.hpp": runtime_tables,
    "moesaic.core": lambda: fusesoc_core(version("moesaic")),
    "Bender.yml": bender_manifest,
}
"""Path in the repository to the function that generates the file's text."""
