"""The control registers of the accelerator (AXI4-Lite, 32 bits wide): one table for hardware, simulator, runtime and manual."""

from __future__ import annotations

from dataclasses import dataclass

REGISTER_FILE_BYTES = 4096


@dataclass(frozen=True)
class Register:
    """A 32-bit register. access: "rw", "ro" (writes ignored) or "w1c" (writing ones clears)."""

    name: str
    offset: int
    access: str
    doc: str


CONTROL_START = 1 << 0
STATUS_BUSY = 1 << 0
STATUS_DONE = 1 << 1
STATUS_FAULT = 1 << 2
INTERRUPT_DONE = 1 << 0

_CONTROL = (
    Register(
        "CONTROL", 0x000, "rw", "bit 0 start: writing 1 while idle clears counters and status and runs; reads as 0"
    ),
    Register("STATUS", 0x004, "ro", "bit 0 busy, bit 1 done (run ended), bit 2 fault (it ended by a fault)"),
    Register("FAULT", 0x008, "ro", "cause of the last fault, see Fault in the instruction set"),
    Register(
        "FAULT_UNIT",
        0x00C,
        "ro",
        "unit that faulted: 0 load, 1 store, 2 matmul, 3 vector, 4 route, 5 fetch and control",
    ),
    Register("FAULT_TAG", 0x010, "ro", "tag of the instruction that the faulting unit was executing"),
    Register("INTERRUPT_ENABLE", 0x014, "rw", "bit 0: raise irq at the end of a run"),
    Register("INTERRUPT_STATUS", 0x018, "w1c", "bit 0: a run has ended"),
    Register("FINGERPRINT_LOW", 0x020, "ro", "configuration fingerprint, bits 31..0"),
    Register("FINGERPRINT_HIGH", 0x024, "ro", "configuration fingerprint, bits 63..32"),
    Register("CONSTANT_BASE_LOW", 0x030, "rw", "byte address of the constant window in DRAM, multiple of 4,096"),
    Register("CONSTANT_BASE_HIGH", 0x034, "rw", "bits 39..32 of it"),
    Register("CONSTANT_SIZE", 0x038, "rw", "bytes of the constant window; accesses beyond it fault"),
    Register("FRAME_BASE_LOW", 0x040, "rw", "byte address of the frame window in DRAM, multiple of 4,096"),
    Register("FRAME_BASE_HIGH", 0x044, "rw", "bits 39..32 of it"),
    Register("FRAME_SIZE", 0x048, "rw", "bytes of the frame window; accesses beyond it fault"),
    Register("PROGRAM_OFFSET", 0x050, "rw", "byte offset of the program in the constant window, multiple of 64"),
    Register("PROGRAM_SIZE", 0x054, "rw", "bytes of the program, multiple of 64; running past it is an address fault"),
    Register("MAX_CYCLES", 0x058, "rw", "a run longer than this faults with TIMEOUT; 0 means no limit"),
)

UNIT_NAMES = ("load", "store", "matmul", "vector", "route")
BUSY_NAMES = ("load", "store", "matmul", "layer_norm", "softmax", "route")

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
COUNTER_BASE = 0x100

REGISTERS = _CONTROL + tuple(
    Register(f"COUNTER_{name.upper()}", COUNTER_BASE + 4 * index, "ro", doc)
    for index, (name, doc) in enumerate(COUNTERS)
)
BY_NAME = {register.name: register for register in REGISTERS}
