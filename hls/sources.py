"""Sources that depend on the configuration: the top level with its parameters, and the C++ header with the same numbers."""

from __future__ import annotations

from spec.configuration import HardwareConfiguration

_PARAMETERS = (
    ("TileRows", "tile_rows"),
    ("TileColumns", "tile_columns"),
    ("TileDepth", "tile_depth"),
    ("NormLanes", "norm_lanes"),
    ("ActBytes", "act_bytes"),
    ("ActBanks", "act_banks"),
    ("WeightBytes", "weight_bytes"),
    ("RowEntries", "row_entries"),
    ("QueueTokens", "queue_tokens"),
    ("Experts", "experts"),
    ("InstructionQueue", "instruction_queue"),
)


def rtl_parameters(configuration: HardwareConfiguration) -> dict[str, str]:
    """Parameters of the RTL module `accelerator`, name to SystemVerilog literal."""
    values = {name: str(getattr(configuration, field)) for name, field in _PARAMETERS}
    return {**values, "Fingerprint": f"64'h{configuration.fingerprint}"}
