"""The control registers of the accelerator (AXI4-Lite, 32 bits wide): one table for hardware, simulators, runtime and manual."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.spec.isa import FAULT_UNIT_NAMES, UNIT_INSTRUCTIONS, UNIT_NAMES

REGISTER_FILE_BYTES = 4096


@dataclass(frozen=True)
class Bit:
    """A named bit of a register."""

    name: str
    index: int
    doc: str

    @property
    def mask(self) -> int:
        """The bit's value in its register."""
        return 1 << self.index


@dataclass(frozen=True)
class Register:
    """A 32-bit register.

    offset: bytes from the start of the register file. access: "rw", "ro" (writes are ignored) or "w1c" (writing ones clears). bits:
    the named ones; all others read as 0. A register without named bits holds one unsigned number. writable: mask of the bits of a
    "rw" register that keep what is written; all others read as 0.
    """

    name: str
    offset: int
    access: str
    doc: str
    bits: tuple[Bit, ...] = ()
    writable: int = 0xFFFF_FFFF


_START = Bit("start", 0, "writing 1 while idle clears counters and status and runs; ignored during a run; reads as 0")
_STOP = Bit(
    "stop",
    1,
    "writing 1 during a run ends it once its outstanding bursts are over, with `done` and `stopped` in STATUS unless it has ended by "
    "itself; ignored while idle; reads as 0",
)
_BUSY = Bit("busy", 0, "a run is under way")
_DONE = Bit("done", 1, "a run has ended")
_FAULT = Bit("fault", 2, "the run ended with a fault")
_STOPPED = Bit("stopped", 3, "the run was stopped by CONTROL and its output is incomplete")
_INTERRUPT = Bit("done", 0, "a run has ended")

CONTROL_START = _START.mask
CONTROL_STOP = _STOP.mask
STATUS_BUSY = _BUSY.mask
STATUS_DONE = _DONE.mask
STATUS_FAULT = _FAULT.mask
STATUS_STOPPED = _STOPPED.mask
INTERRUPT_DONE = _INTERRUPT.mask

_CONTROL = (
    Register("CONTROL", 0x000, "rw", "starts and stops a run", (_START, _STOP), 0),
    Register("STATUS", 0x004, "ro", "state of the run", (_BUSY, _DONE, _FAULT, _STOPPED)),
    Register(
        "FAULT", 0x008, "ro", "why the last run faulted, see Fault and faults in several units in the instruction set"
    ),
    Register(
        "FAULT_UNIT",
        0x00C,
        "ro",
        "unit that faulted: " + ", ".join(f"{number} {name}" for number, name in enumerate(FAULT_UNIT_NAMES)),
    ),
    Register("FAULT_TAG", 0x010, "ro", "tag of the instruction that the faulting unit was executing"),
    Register(
        "INTERRUPT_ENABLE", 0x014, "rw", "which bits of INTERRUPT_STATUS raise irq", (_INTERRUPT,), _INTERRUPT.mask
    ),
    Register("INTERRUPT_STATUS", 0x018, "w1c", "what has happened since it was cleared", (_INTERRUPT,)),
    Register("FINGERPRINT_LOW", 0x020, "ro", "configuration fingerprint, bits 31..0"),
    Register("FINGERPRINT_HIGH", 0x024, "ro", "configuration fingerprint, bits 63..32"),
    Register(
        "CONSTANT_BASE_LOW",
        0x030,
        "rw",
        "byte address of the constant window in DRAM, multiple of 4,096",
        writable=0xFFFF_F000,
    ),
    Register("CONSTANT_BASE_HIGH", 0x034, "rw", "bits 39..32 of that address", writable=0xFF),
    Register("CONSTANT_SIZE", 0x038, "rw", "bytes of the constant window; accesses beyond it fault"),
    Register(
        "FRAME_BASE_LOW",
        0x040,
        "rw",
        "byte address of the frame window in DRAM, multiple of 4,096",
        writable=0xFFFF_F000,
    ),
    Register("FRAME_BASE_HIGH", 0x044, "rw", "bits 39..32 of that address", writable=0xFF),
    Register("FRAME_SIZE", 0x048, "rw", "bytes of the frame window; accesses beyond it fault"),
    Register(
        "PROGRAM_OFFSET",
        0x050,
        "rw",
        "byte offset of the program in the constant window, multiple of 64",
        writable=0xFFFF_FFC0,
    ),
    Register("PROGRAM_SIZE", 0x054, "rw", "bytes of the program, multiple of 64; running past it is an address fault"),
    Register("MAX_CYCLES", 0x058, "rw", "a run of more cycles faults with TIMEOUT; 0 means no limit"),
)

BUSY_NAMES = tuple(instruction.name for instruction in UNIT_INSTRUCTIONS)
"""Names of the instructions whose busy cycles are counted, each on its own."""

COUNTERS: tuple[tuple[str, str], ...] = (
    ("cycles", "cycles from start to done"),
    ("instructions", "instructions completed"),
    *((f"{name}_busy", f"cycles with a {name} instruction in execution") for name in BUSY_NAMES),
    *(
        (f"{name}_semaphore_stall", f"cycles the {name} unit held an instruction whose semaphores were not ready")
        for name in UNIT_NAMES
    ),
    ("load_dram_stall", "cycles the load unit was busy and waiting for read data"),
    ("store_dram_stall", "cycles the store unit was busy and waiting for the write channel or responses"),
    ("matmul_array", "cycles in which the array multiplied (one step of tile_depth for a whole tile)"),
    ("matmul_drain_stall", "cycles the array waited because results of the previous tile were still draining"),
    ("matmul_operand_stall", "cycles the array waited because its operands had not been fetched yet"),
    ("read_beats", "16-byte beats read from DRAM by load and fetch"),
    ("write_beats", "16-byte beats written to DRAM"),
)
"""(name, meaning) of each counter, in the order of their registers."""
COUNTER_BASE = 0x100

REGISTERS = _CONTROL + tuple(
    Register(f"COUNTER_{name.upper()}", COUNTER_BASE + 4 * index, "ro", doc)
    for index, (name, doc) in enumerate(COUNTERS)
)
BY_NAME = {register.name: register for register in REGISTERS}
