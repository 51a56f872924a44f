"""The hardware configuration: the sizes that are fixed when the accelerator is synthesised."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path

from moesaic.errors import UserError
from moesaic.spec.arithmetic import ARITHMETIC, TABLE_ENTRIES
from moesaic.spec.isa import PARAMETER_ENTRY, layout_text
from moesaic.spec.registers import REGISTERS

ULTRA_BANKS = 2
"""Number of banks in the part of the activation memory that lies in UltraRAM."""


@dataclass(frozen=True)
class HardwareConfiguration:
    """Sizes of one accelerator. What depends on a model (tokens, widths, heads, tasks) is in the programs, not here.

    name: of the configuration; part of build names, but not of the fingerprint.
    part: the device, a key of moesaic.hls.hardware.devices.DEVICES; not in the fingerprint either.
    tile_rows: rows (tokens) of the matmul array, 1 to 64. Example: 12.
    tile_columns: columns (output channels) of the array, and the elements that the vector unit reads per cycle; a power of two, 8
        to 64. Example: 32.
    tile_depth: products summed per cycle and cell, in cascaded DSPs; 4 or 8. The array does tile_rows * tile_columns * tile_depth
        int8 MACs per cycle on half as many DSPs.
    norm_lanes: elements that layer norm takes per cycle; a power of two up to tile_columns.
    act_ports: words of the activation memory that one unit moves per cycle (rows of operands fetched, rows of results drained,
        words of scores read by softmax); 1 or 2, and tile_rows is a multiple of it.
    load_ports: AXI4 read masters of the load unit, 128 bits each; 1 to 4.
    act_bytes: bytes of the activation memory. act_banks: its banks, a power of two up to 16; each serves one read and one write per
        cycle.
    shared_bytes: bytes at the bottom of the activation memory that also continue the weight memory: weight address weight_bytes + i
        is activation address i, so a program divides them as its model needs. Weight reads take precedence over activations.
    act_ultra_bytes: bytes at the top of the activation memory that lie in UltraRAM, in two banks; 0 for none.
    weight_bytes: bytes of the weight memory, which also holds parameters, keys and values; in UltraRAM, or in block RAM if the part has
        no UltraRAM.
    row_entries: rows of softmax statistics, a power of two from 2. queue_tokens: entries per expert queue, a power of two from 2 to
        65,536. experts: the most experts that one layer may have, a power of two from 2 to 64.
    instruction_queue: instructions that can wait in front of each unit, a power of two from 2. tables: GELU tables, always 2.

    UserError if a value breaks its rule.
    """

    name: str
    part: str
    tile_rows: int
    tile_columns: int
    tile_depth: int
    norm_lanes: int
    act_ports: int
    load_ports: int
    act_bytes: int
    act_banks: int
    act_ultra_bytes: int
    shared_bytes: int
    weight_bytes: int
    row_entries: int
    queue_tokens: int
    experts: int
    instruction_queue: int
    tables: int = 2

    def __post_init__(self) -> None:
        def require(condition: bool, field: str, rule: str) -> None:
            if not condition:
                raise UserError(f"configuration {self.name}: {field} = {getattr(self, field)} but it must be {rule}")

        def power_of_two(value: int) -> bool:
            return value > 0 and value & (value - 1) == 0

        for field in fields(self):
            if field.name not in ("name", "part"):
                require(isinstance(getattr(self, field.name), int), field.name, "an integer")
        require(1 <= self.tile_rows <= 64, "tile_rows", "1 to 64")
        require(
            power_of_two(self.tile_columns) and 8 <= self.tile_columns <= 64,
            "tile_columns",
            "a power of two from 8 to 64",
        )
        require(self.tile_depth in (4, 8), "tile_depth", "4 or 8")
        require(
            power_of_two(self.norm_lanes) and self.norm_lanes <= self.tile_columns,
            "norm_lanes",
            "a power of two up to tile_columns",
        )
        require(
            self.act_ports in (1, 2) and self.tile_rows % self.act_ports == 0,
            "act_ports",
            f"1 or 2 and divide tile_rows = {self.tile_rows}",
        )
        require(1 <= self.load_ports <= 4, "load_ports", "1 to 4")
        require(power_of_two(self.act_banks) and self.act_banks <= 16, "act_banks", "a power of two up to 16")
        bank_row = self.act_word_bytes * self.act_banks
        ultra_row = self.act_word_bytes * ULTRA_BANKS
        require(
            self.act_ultra_bytes >= 0 and self.act_ultra_bytes % ultra_row == 0,
            "act_ultra_bytes",
            f"0 or a multiple of {ultra_row} (word * {ULTRA_BANKS} banks)",
        )
        block_bytes = self.act_bytes - self.act_ultra_bytes
        require(
            block_bytes >= 2 * bank_row and block_bytes % bank_row == 0,
            "act_bytes",
            f"act_ultra_bytes = {self.act_ultra_bytes} and a multiple of {bank_row} (word * banks), at least two",
        )
        word = self.weight_word_bytes
        require(
            self.weight_bytes >= 2 * word and self.weight_bytes % word == 0,
            "weight_bytes",
            f"a multiple of {word} (one word), at least two",
        )
        require(
            0 <= self.shared_bytes < block_bytes and self.shared_bytes % bank_row == 0,
            "shared_bytes",
            f"0 or a multiple of {bank_row} (word * banks) below {block_bytes} (act_bytes - act_ultra_bytes)",
        )
        require(
            self.shared_bytes == 0 or bank_row % word == 0,
            "shared_bytes",
            f"0, or a weight word of {word} bytes a part of one word in every bank, {bank_row} bytes",
        )
        require(power_of_two(self.row_entries) and self.row_entries >= 2, "row_entries", "a power of two from 2")
        require(
            power_of_two(self.queue_tokens) and 2 <= self.queue_tokens <= 1 << 16,
            "queue_tokens",
            "a power of two from 2 to 65536",
        )
        require(power_of_two(self.experts) and 2 <= self.experts <= 64, "experts", "a power of two from 2 to 64")
        require(
            power_of_two(self.instruction_queue) and self.instruction_queue >= 2,
            "instruction_queue",
            "a power of two from 2",
        )
        require(self.tables == 2, "tables", "2")

    @property
    def array(self) -> str:
        """Rows x columns x depth of the array, to be shown."""
        return f"{self.tile_rows}x{self.tile_columns}x{self.tile_depth}"

    @property
    def act_word_bytes(self) -> int:
        """Bytes of one word of the activation memory: tile_columns int16."""
        return 2 * self.tile_columns

    @property
    def weight_word_bytes(self) -> int:
        """Bytes of one word of the weight memory: tile_columns * tile_depth int8."""
        return self.tile_columns * self.tile_depth

    @property
    def parameter_block_bytes(self) -> int:
        """Bytes of one parameter block: one entry for each column of a tile."""
        return PARAMETER_ENTRY.itemsize * self.tile_columns

    @property
    def weight_window_bytes(self) -> int:
        """Bytes that weight addresses can reach: the weight memory and the shared part of the activation memory."""
        return self.weight_bytes + self.shared_bytes

    @property
    def table_bytes(self) -> int:
        """Bytes of the table memory, which holds int8 GELU tables."""
        return self.tables * TABLE_ENTRIES

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates, int8 by int8, that the whole array does per cycle."""
        return self.tile_rows * self.tile_columns * self.tile_depth

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, a hash of what decides whether a program runs on a machine: sizes, instructions, registers."""
        content = {key: value for key, value in asdict(self).items() if key not in ("name", "part")}
        registers = [(register.name, register.offset, register.access) for register in REGISTERS]
        text = json.dumps(
            {"instructions": layout_text(), "registers": registers, "arithmetic": ARITHMETIC, **content}, sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @staticmethod
    def from_dict(values: dict) -> HardwareConfiguration:
        """The configuration with these fields. UserError if one is missing or unknown or a value breaks its rule."""
        known = {field.name for field in fields(HardwareConfiguration)}
        if set(values) != known:
            missing, extra = sorted(known - set(values)), sorted(set(values) - known)
            raise UserError(f"hardware configuration: missing {missing or 'nothing'}, unknown {extra or 'nothing'}")
        return HardwareConfiguration(**values)

    def to_dict(self) -> dict:
        """Field names to values, as from_dict takes them."""
        return asdict(self)


def _directory() -> Path:
    return Path(str(resources.files("moesaic.configs")))


def shipped_configurations() -> list[Path]:
    """TOML files of the configurations that come with moesaic, sorted; each can be loaded by its name alone."""
    return sorted(_directory().glob("*.toml"), key=lambda path: path.stem)


def load_configuration(path: Path | str) -> HardwareConfiguration:
    """Read a configuration from a TOML file; it is named after the file.

    path: the file, or the name of one of `shipped_configurations`, without a slash or suffix. UserError if the file is missing or
    unreadable or a value breaks its rule.
    """
    import tomllib

    path = Path(path)
    if path.suffix != ".toml" and len(path.parts) == 1:
        path = _directory() / f"{path}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = [shipped.stem for shipped in shipped_configurations()]
        raise UserError(f"no hardware configuration at {path}; known: {', '.join(known)}") from None
    except (tomllib.TOMLDecodeError, RecursionError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"hardware configuration {path} cannot be read: {error}") from None
    return HardwareConfiguration.from_dict({"name": path.stem, "tables": 2, **values})
