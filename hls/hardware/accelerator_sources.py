"""The accelerator sources that go into a build: the hand-written files and those generated for the configuration."""

from __future__ import annotations

from pathlib import Path

from moesaic.hls.hardware.devices import has_ultra
from moesaic.hls.hardware.generated_files import cpp_configuration
from moesaic.spec.configuration import HardwareConfiguration

HARDWARE_DIRECTORY = Path(__file__).parent
RTL_DIRECTORY = HARDWARE_DIRECTORY / "rtl"
CPP_DIRECTORY = HARDWARE_DIRECTORY / "cpp"

PARAMETERS = (
    ("TileRows", "tile_rows"),
    ("TileColumns", "tile_columns"),
    ("TileDepth", "tile_depth"),
    ("NormLanes", "norm_lanes"),
    ("ActPorts", "act_ports"),
    ("LoadPorts", "load_ports"),
    ("ActBytes", "act_bytes"),
    ("ActBanks", "act_banks"),
    ("ActUltraBytes", "act_ultra_bytes"),
    ("SharedBytes", "shared_bytes"),
    ("WeightBytes", "weight_bytes"),
    ("RowEntries", "row_entries"),
    ("QueueTokens", "queue_tokens"),
    ("Experts", "experts"),
    ("InstructionQueue", "instruction_queue"),
)
"""The sizes: parameter of the RTL and field of the configuration."""


def rtl_parameters(configuration: HardwareConfiguration) -> dict[str, str]:
    """Parameters of the RTL module `accelerator`: name to SystemVerilog literal."""
    values = {name: str(getattr(configuration, field)) for name, field in PARAMETERS}
    weight_ultra = f"1'b{int(has_ultra(configuration))}"
    return {**values, "WeightUltra": weight_ultra, "Fingerprint": f"64'h{configuration.fingerprint}"}


def accelerator_sources(configuration: HardwareConfiguration) -> dict[str, bytes]:
    """Every source file of a build: path within the build to content.

    cpp/ includes the generated configuration.hpp; rtl/ includes parameters.f, the parameters as -G options. For a part without UltraRAM,
    the C++ binds all memories to block RAM.
    """
    files: dict[str, bytes] = {}
    for directory, endings in ((CPP_DIRECTORY, (".hpp", ".cpp")), (RTL_DIRECTORY, (".sv",))):
        for path in sorted(directory.iterdir()):
            if path.suffix in endings:
                files[f"{directory.name}/{path.name}"] = path.read_bytes()
    if not has_ultra(configuration):
        for name, content in files.items():
            if name.startswith("cpp/"):
                files[name] = content.replace(b" impl=uram", b" impl=bram")
    options = "".join(f"-G{name}={value}\n" for name, value in rtl_parameters(configuration).items())
    return {
        **files,
        "cpp/configuration.hpp": cpp_configuration(configuration).encode(),
        "rtl/parameters.f": options.encode(),
    }
