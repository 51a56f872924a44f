"""The boards that accelerators are made for: one TOML file each, in spec/boards/, with the public source of every datum.

The vendor flow reads it, and so does the RTL executor with a model of the board's DDR4. Projects for Vivado and reports of bitstreams
hold the same data as JSON.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from moesaic.errors import UserError
from moesaic.spec.clock import CLOCK_MHZ
from moesaic.spec.configuration import HardwareConfiguration

MEMORY_PORTS = ("HP0", "HP1", "HP2", "HP3", "HPC0", "HPC1")
"""The ports through which fabric reaches the memory of a Zynq UltraScale+ (AMD UG1085, PS-PL AXI interfaces)."""


@dataclass(frozen=True)
class Ports:
    """How the fabric is connected to the processing system.

    memory: the ports to DRAM that are used, of MEMORY_PORTS, each 128 bits wide. control: the AXI master of the processors that reaches
    the registers. control_address: byte address of the registers. interrupt: the pin of the processing system that takes interrupts.
    interrupt_controller_address: byte address of the controller in front of it, through which PYNQ waits.
    """

    memory: tuple[str, ...]
    control: str
    control_address: int
    interrupt: str
    interrupt_controller_address: int


@dataclass(frozen=True)
class DdrRange:
    """A range of DRAM. segment: Vivado's name for it. base, bytes: as the fabric and the processors address it."""

    segment: str
    base: int
    bytes: int


@dataclass(frozen=True)
class Ddr:
    """The DRAM of the processing system. rate: millions of transfers a second. bits: width of its bus. ranges: where it lies."""

    rate: int
    bits: int
    ranges: tuple[DdrRange, ...]

    @property
    def peak_bytes_per_second(self) -> int:
        """What the bus moves if it never waits."""
        return self.rate * 1_000_000 * self.bits // 8

    def holds(self, address: int, size: int) -> bool:
        """Whether `size` bytes from an address lie in one of the ranges."""
        return any(part.base <= address and address + size <= part.base + part.bytes for part in self.ranges)


@dataclass(frozen=True)
class Clock:
    """Clocks in MHz.

    reference_mhz: what the board's oscillator gives the processing system. pl_clk0_mhz: what that makes of a clock of 100 MHz.
    accelerator_mhz: what accelerators are made for there, an assumption until Vivado has placed and routed one.
    """

    reference_mhz: float
    pl_clk0_mhz: float
    accelerator_mhz: float


@dataclass(frozen=True)
class Pynq:
    """name: what PYNQ's images call the board. status: whose images there are."""

    name: str
    status: str


@dataclass(frozen=True)
class Power:
    """Rails as the runtime names them. total: that of the whole board or module. fabric: VCCINT. Either is empty where there is none.

    status: which sensors there are and what shows them.
    """

    total: str
    fabric: str
    status: str


@dataclass(frozen=True)
class Board:
    """A board. name: of its file. part, board_part: Vivado's names. sources: of each other field but name.

    UserError if a value breaks its rule or has no source.
    """

    name: str
    title: str
    part: str
    board_part: str
    ports: Ports
    ddr: Ddr
    clock: Clock
    pynq: Pynq
    power: Power
    sources: dict[str, str]

    def __post_init__(self) -> None:
        def require(condition: bool, what: str, rule: str) -> None:
            if not condition:
                raise UserError(f"board {self.name}: {what}, but {rule}")

        named = {field.name for field in dataclasses.fields(self)} - {"name", "sources"}
        require(set(self.sources) == named, f"sources of {sorted(self.sources)}", f"they must be of {sorted(named)}")
        require(all(self.sources.values()), "a source is empty", "each must say where the datum stands")
        require(
            re.fullmatch(r"xc[a-z0-9]+-[a-z0-9]+-\w+-[a-z]+", self.part) is not None,
            f"part = {self.part}",
            "it must be like xczu7ev-ffvc1156-2-e",
        )
        require(
            re.fullmatch(r"[\w.]+:\w+:part0:\d+\.\d+", self.board_part) is not None,
            f"board_part = {self.board_part}",
            "it must be like xilinx.com:zcu104:part0:1.1",
        )
        memory = self.ports.memory
        require(
            bool(memory) and len(set(memory)) == len(memory) and set(memory) <= set(MEMORY_PORTS),
            f"ports.memory = {list(memory)}",
            f"it must name some of {', '.join(MEMORY_PORTS)}, each once",
        )
        require(bool(self.ddr.ranges), "ddr.ranges is empty", "it must have one at least")

    @property
    def device_name(self) -> str:
        """The device without package, speed grade and temperature range: XCZU7EV."""
        return self.part.partition("-")[0].upper()

    def to_dict(self) -> dict:
        """All of it, as from_dict takes it and JSON holds it."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict) -> Board:
        """The board with these fields, each section a dict. UserError if one is missing, unknown or breaks its rule."""
        return _make(Board, str(values.get("name", "?")), values)


_SECTIONS = {"ports": Ports, "ddr": Ddr, "clock": Clock, "pynq": Pynq, "power": Power}
_TYPES = {"int": int, "float": (int, float), "str": str, "dict[str, str]": dict}


def _make(kind: type, where: str, values: Any) -> Any:
    """An instance of a dataclass of this module from a dict. where: what the error names."""
    if not isinstance(values, dict):
        raise UserError(f"board {where}: {values!r} where the fields of {kind.__name__} belong")
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    if set(values) != set(fields):
        missing, extra = sorted(set(fields) - set(values)), sorted(set(values) - set(fields))
        raise UserError(f"board {where}: missing {missing or 'nothing'}, unknown {extra or 'nothing'}")
    made = {}
    for name, type_name in fields.items():
        value = values[name]
        if name in _SECTIONS and kind is Board:
            made[name] = _make(_SECTIONS[name], f"{where}: {name}", value)
        elif name == "ranges":
            made[name] = tuple(_make(DdrRange, f"{where}: {name}", part) for part in value)
        elif name == "memory":
            made[name] = tuple(value)
        elif not isinstance(value, _TYPES[type_name]) or isinstance(value, bool):
            raise UserError(f"board {where}: {name} = {value!r}, but it must be of the type {type_name}")
        else:
            made[name] = value
    return kind(**made)


def _directory() -> Path:
    return Path(str(resources.files("moesaic.spec"))) / "boards"


def known_boards() -> list[str]:
    """Names of the boards that there are files of, sorted."""
    return sorted(path.stem for path in _directory().glob("*.toml"))


def load_board(name: str) -> Board:
    """The board of this name, from its file. UserError, with the known names, if there is none, or if its file breaks a rule."""
    import tomllib

    if name not in known_boards():
        raise UserError(f"board {name} is unknown; known: {', '.join(known_boards())}")
    text = (_directory() / f"{name}.toml").read_text(encoding="utf-8")
    return Board.from_dict({"name": name, **tomllib.loads(text)})


def board_of(configuration: HardwareConfiguration) -> Board:
    """The board that has a configuration's part. UserError, with the parts that boards have, if there is none."""
    boards = _boards_by_device()
    if configuration.part not in boards:
        raise UserError(
            f"configuration {configuration.name}: no board has the part {configuration.part}; known: "
            f"{', '.join(f'{device} ({board.name})' for device, board in boards.items())}"
        )
    return boards[configuration.part]


def clock_mhz(configuration: HardwareConfiguration) -> float:
    """The clock in MHz that a configuration's accelerator is made for: its board's, or CLOCK_MHZ if no board has its part."""
    board = _boards_by_device().get(configuration.part)
    return board.clock.accelerator_mhz if board else CLOCK_MHZ


def _boards_by_device() -> dict[str, Board]:
    boards = (load_board(name) for name in known_boards())
    return {board.device_name: board for board in boards}
