"""Tests of a machine and of the memory that it works in, without an application: what `moesaic selftest` runs.

Each check uses the machine as its driver does, by programs of its own or of the build, and says what it measured. What an executor
cannot show (the emulator has no clock and no registers) is reported as not measured, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from moesaic.errors import InternalError, UserError
from moesaic.host.phases import StagedExecutor
from moesaic.host.power import PowerMeter
from moesaic.host.rate_programs import RateProgram, all_ports, read_port
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.executor import MAX_CYCLES, Counters, Executor, MachineFault, Memory, Program
from moesaic.spec.isa import INSTRUCTION_BYTES, Space, Unit, pack, semaphore
from moesaic.spec.joint_programs import JointProgram
from moesaic.spec.legality import encode
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import BY_NAME, REGISTERS, STATUS_BUSY

FORMAT, VERSION = "moesaic selftest", 1
PASSED, FAILED, NOT_MEASURED = "passed", "failed", "not measured"

INTERRUPT_RUNS = 16
_RATE_BYTES = (1 << 16, 1 << 23)
"""Least and most bytes that a measurement of the DRAM rate moves: as many as the constant window has, within these bounds."""
_SHARED_COUNTERS = ("instructions", "matmul_array", "write_beats")
_WORD_PATTERNS = (0x00000000, 0xFFFFFFFF, 0xAAAAAAAA, 0x55555555, 0x12345678)
_MACHINE_ERRORS = (MachineFault, InternalError, UserError)


@runtime_checkable
class RegisterAccess(Protocol):
    """An executor whose control registers can be read and written, by byte offset, while no run is under way."""

    def read_register(self, offset: int) -> int: ...

    def write_register(self, offset: int, value: int) -> None: ...


@runtime_checkable
class InterruptCounter(Protocol):
    """An executor that knows how many interrupts its machine has raised, None if nothing here counts them."""

    def interrupts(self) -> int | None: ...


class Failure(Exception):
    """What is wrong, in words that name the place."""


class NotMeasured(Exception):
    """Why this executor cannot show it."""


@dataclass
class Check:
    """One check. state: PASSED, FAILED or NOT_MEASURED. detail: what failed, or why nothing was measured. figures: JSON values.

    seconds: that it took on this processor.
    """

    name: str
    state: str
    detail: str = ""
    figures: dict = field(default_factory=dict)
    seconds: float = 0.0


# --- programs -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """A copy within DRAM, through the activation memory. source, target: byte offsets. size: bytes. All are multiples of 16."""

    space: Space
    source: int
    target: int
    size: int


def _transfer(offset: int, local: int, size: int) -> dict[str, int]:
    return {"dram_offset": offset, "local_address": local, "bytes": size, "count_1": 1, "count_2": 1, "count_3": 1}


def copy_program(moves: Sequence[Move], configuration: HardwareConfiguration) -> bytes:
    """A program that makes the moves, each at most as large as the activation memory, one after the other.

    Each move begins on chip where the one before it ended, so that moves of odd sizes reach every part of that memory.
    """
    loaded, stored = semaphore(Unit.LOAD, Unit.STORE), semaphore(Unit.STORE, Unit.LOAD)
    local, code = 0, b""
    for number, move in enumerate(moves):
        if local + move.size > configuration.act_bytes:
            local = 0
        wait = 1 << stored if number else 0
        values = _transfer(move.source, local, move.size)
        code += encode("load", configuration, space=move.space, wait_mask=wait, signal_mask=1 << loaded, **values)
        values = _transfer(move.target, local, move.size)
        last = number == len(moves) - 1
        signal = 0 if last else 1 << stored
        code += encode("store", configuration, space=Space.FRAME, wait_mask=1 << loaded, signal_mask=signal, **values)
        local += move.size
    return code + pack("end")


def _pieces(size: int, configuration: HardwareConfiguration) -> Iterator[slice]:
    """A range of `size` bytes, in pieces of three quarters of the activation memory, so that successive ones differ in place."""
    step = max(configuration.act_bytes * 3 // 4 // BEAT_BYTES * BEAT_BYTES, BEAT_BYTES)
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


# --- memory -------------------------------------------------------------------------------------------------------------------


def _patterns(size: int) -> dict[str, np.ndarray]:
    """Contents that set every bit to both values and tell every 32-bit word from every other. size: bytes, a multiple of 4."""
    address = np.arange(size // 4, dtype="<u4") * np.uint32(0x9E3779B1)  # odd, so no two words are equal
    words = {"address": address, "inverted address": ~address}
    even = {"0x55": np.full(size, 0x55, np.uint8), "0xaa": np.full(size, 0xAA, np.uint8)}
    return even | {name: values.view(np.uint8) for name, values in words.items()}


def _require_equal(found: np.ndarray, expected: np.ndarray, where: str) -> None:
    wrong = np.flatnonzero(found != expected)
    if wrong.size:
        first = int(wrong[0])
        bits = int(found[first]) ^ int(expected[first])
        named = ", ".join(str(bit) for bit in range(8) if bits >> bit & 1)
        raise Failure(
            f"{where}: byte {first:#x} is {int(found[first]):#04x} where {int(expected[first]):#04x} belongs (bit {named}); "
            f"{wrong.size:,} of {found.size:,} bytes are wrong"
        )


class Machine:
    """What the checks share: the executor and the build whose windows it is tested with."""

    def __init__(self, executor: Executor, build: Build, name: str, max_cycles: int = MAX_CYCLES) -> None:
        self.executor, self.build, self.name, self.max_cycles = executor, build, name, max_cycles
        self.title = "reference machine" if name == "reference" else name
        self.configuration = build.configuration
        self.constant_bytes = build.constants.size // BEAT_BYTES * BEAT_BYTES

    def run_code(self, code: bytes, constants: np.ndarray, frame: np.ndarray, at_end: bool = False) -> Counters:
        """Run a program that is put to the start or the end of the constants, uint8, which are written in place."""
        offset = (constants.size - len(code)) // INSTRUCTION_BYTES * INSTRUCTION_BYTES if at_end else 0
        if len(code) > constants.size or offset < 0:
            raise NotMeasured(
                f"the build's constant window of {constants.size:,} bytes has no room for the test program"
            )
        constants[offset : offset + len(code)] = np.frombuffer(code, np.uint8)
        return self.executor.run(Program(offset, len(code)), Memory(constants, frame), self.max_cycles)

    @cached_property
    def _counters_of_a_copy(self) -> Counters:
        constants, frame = np.zeros(self.build.constants.size, np.uint8), np.zeros(self.build.frame_bytes, np.uint8)
        move = Move(Space.FRAME, 0, BEAT_BYTES, BEAT_BYTES)
        return self.run_code(copy_program([move], self.configuration), constants, frame)

    def has_clock(self) -> bool:
        """Whether it counts cycles."""
        return "cycles" in self._counters_of_a_copy

    def counts_busy_cycles(self) -> bool:
        """Whether its units count the cycles in which they are busy; the kernel of the engine hls does not."""
        return any(self._counters_of_a_copy.get(f"{unit}_busy") for unit in ("load", "store"))


def check_processor_memory(machine: Machine) -> dict:
    """Patterns through the driver's own copies: processor, its cache, DRAM and back, the machine being idle."""
    executor = machine.executor
    if not isinstance(executor, StagedExecutor):
        raise NotMeasured(f"the {machine.title} works in this process's own memory")
    size = machine.build.frame_bytes
    constants = np.zeros(machine.build.constants.size, np.uint8)
    for name, pattern in _patterns(-(-size // 4) * 4).items():
        frame = pattern[:size].copy()
        memory = Memory(constants, frame)
        executor.upload(memory, slice(None))
        frame[:] = ~frame
        executor.download(memory, slice(None))
        _require_equal(frame, pattern[:size], f"frame window, pattern {name}, written and read by the processor")
    return {"bytes": size, "patterns": len(_patterns(4))}


def check_constant_memory(machine: Machine) -> dict:
    """Patterns in the whole constant window, read by the load unit; results come back through the store unit."""
    size = machine.constant_bytes
    room = machine.build.frame_bytes // BEAT_BYTES * BEAT_BYTES
    for number, (name, pattern) in enumerate(_patterns(size).items()):
        for start in range(0, size, room):
            length = min(room, size - start)
            moves = [
                Move(Space.CONSTANT, start + p.start, p.start, p.stop - p.start)
                for p in _pieces(length, machine.configuration)
            ]
            constants = np.zeros(machine.build.constants.size, np.uint8)
            constants[:size] = pattern
            frame = np.zeros(machine.build.frame_bytes, np.uint8)
            # The program itself stands in the window: at its end for every other pattern.
            machine.run_code(copy_program(moves, machine.configuration), constants, frame, at_end=bool(number % 2))
            expected = constants[start : start + length]
            _require_equal(
                frame[:length], expected, f"constant window from {start:#x}, pattern {name}, read by the load unit"
            )
    return {"bytes": size, "patterns": len(_patterns(4))}


def check_frame_memory(machine: Machine) -> dict:
    """Patterns in each half of the frame window, copied to the other one: written by the store unit, the rest left alone."""
    half = machine.build.frame_bytes // (2 * BEAT_BYTES) * BEAT_BYTES
    for name, pattern in _patterns(-(-machine.build.frame_bytes // 4) * 4).items():
        for source, target in ((half, 0), (0, half)):
            moves = [
                Move(Space.FRAME, source + p.start, target + p.start, p.stop - p.start)
                for p in _pieces(half, machine.configuration)
            ]
            frame = pattern[: machine.build.frame_bytes].copy()
            frame[target : target + half] = ~frame[target : target + half]
            expected = frame.copy()
            expected[target : target + half] = expected[source : source + half]
            constants = np.zeros(machine.build.constants.size, np.uint8)
            machine.run_code(copy_program(moves, machine.configuration), constants, frame)
            _require_equal(frame, expected, f"frame window, pattern {name}, copied from {source:#x} to {target:#x}")
    return {"bytes": 2 * half, "patterns": len(_patterns(4))}


# --- registers and interrupts -------------------------------------------------------------------------------------------------


def check_registers(machine: Machine) -> dict:
    """Every register by the table of moesaic.spec.registers: bits that keep what is written, and those that must not."""
    access = machine.executor
    if not isinstance(access, RegisterAccess):
        raise NotMeasured(f"the {machine.title} has no control registers")
    low, high = (access.read_register(BY_NAME[f"FINGERPRINT_{part}"].offset) for part in ("LOW", "HIGH"))
    shown = f"{high << 32 | low:016x}"
    if shown != machine.build.fingerprint:
        raise Failure(f"FINGERPRINT shows {shown}, the build has {machine.build.fingerprint}")
    if access.read_register(BY_NAME["STATUS"].offset) & STATUS_BUSY:
        raise Failure("STATUS shows a run under way where none was started")

    def require(name: str, expected: int, after: str) -> None:
        found = access.read_register(BY_NAME[name].offset)
        if found != expected:
            raise Failure(
                f"register {name} reads {found:#010x} where {expected:#010x} belongs, {after} (bits {found ^ expected:#x})"
            )

    status = BY_NAME["INTERRUPT_STATUS"]
    before = access.read_register(status.offset)
    access.write_register(status.offset, 0)
    require(status.name, before, "after writing 0, which clears nothing")
    access.write_register(status.offset, 0xFFFFFFFF)
    require(status.name, 0, "after clearing it with ones")

    kept = {register.name: access.read_register(register.offset) for register in REGISTERS if register.access == "rw"}
    try:
        for pattern in _WORD_PATTERNS:
            for register in REGISTERS:
                if register.name in kept and register.writable:
                    access.write_register(register.offset, pattern)
                    require(register.name, pattern & register.writable, f"after writing {pattern:#010x}")
        values = {
            name: (0x01010101 * (number + 1)) & 0xFFFFFFFF for number, name in enumerate(kept) if BY_NAME[name].writable
        }
        for name, value in values.items():
            access.write_register(BY_NAME[name].offset, value)
        for name, value in values.items():
            require(name, value & BY_NAME[name].writable, "after all others were written")
    finally:
        for name, value in kept.items():
            if BY_NAME[name].writable:
                access.write_register(BY_NAME[name].offset, value)
    for register in REGISTERS:
        if register.access == "ro":
            value = access.read_register(register.offset)
            access.write_register(register.offset, ~value & 0xFFFFFFFF)
            require(register.name, value, "after writing it, which must change nothing")
    require("CONTROL", 0, "which always reads as 0")
    return {"registers": len(REGISTERS)}


def check_interrupts(machine: Machine) -> dict:
    """One interrupt for each run."""
    counter = machine.executor
    if not isinstance(counter, InterruptCounter):
        raise NotMeasured(f"the {machine.title} raises no interrupts")
    before = counter.interrupts()
    if before is None:
        raise NotMeasured(
            "nothing here counts interrupts: /proc/interrupts has no line of the programmable logic; see moesaic doctor"
        )
    constants, frame = (np.zeros(size, np.uint8) for size in (machine.build.constants.size, machine.build.frame_bytes))
    for _ in range(INTERRUPT_RUNS):
        machine.run_code(pack("end"), constants, frame)
    after = counter.interrupts()
    if after is None:
        raise Failure(f"an interrupt got lost in {INTERRUPT_RUNS} runs, and the driver has gone over to polling")
    raised = after - before
    if raised != INTERRUPT_RUNS:
        raise Failure(f"{raised} interrupts in {INTERRUPT_RUNS} runs, where each run raises one")
    return {"runs": INTERRUPT_RUNS, "interrupts": raised}


# --- tasks --------------------------------------------------------------------------------------------------------------------


def test_image(build: Build) -> np.ndarray:
    """A picture of random pixels, the same everywhere, uint8 (height, width, 3)."""
    return np.random.default_rng(0).integers(0, 256, (build.image_height, build.image_width, 3)).astype(np.uint8)


def check_task(machine: Machine, name: str, bundle: Bundle | None) -> dict:
    """A task against the bundle's golden output, or without a bundle against the reference machine, every byte of the window."""
    build = machine.build
    if bundle is None and machine.name == "reference":
        raise NotMeasured(
            "the reference machine against itself says nothing; name the bundle of the build with --bundle"
        )
    image = test_image(build) if bundle is None else bundle.golden["image"]
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    program = build.task(name).program
    counters = machine.executor.run(program, memory, machine.max_cycles)
    figures: dict = {"counters": counters}
    if bundle is not None:
        found, expected = build.read_output(memory.frame, name), bundle.golden[f"{name}/output"]
        wrong = np.argwhere(found != expected)
        if wrong.size:
            place = tuple(int(i) for i in wrong[0])
            raise Failure(
                f"output of {name}: {len(wrong):,} of {found.size:,} integers differ from the golden vectors, the first at {place}: "
                f"{found[place]} where {expected[place]} belongs"
            )
        return {**figures, "against": "golden vectors", "bytes": found.nbytes}
    expected_memory = build.new_memory()
    build.write_image(expected_memory.frame, image)
    reference = ReferenceMachine(build.configuration)
    expected_counters = reference.run(program, expected_memory, machine.max_cycles)
    _require_equal(memory.frame, expected_memory.frame, f"task {name}, frame window against the reference machine")
    for counter in _SHARED_COUNTERS:
        if counter in counters and counters[counter] != expected_counters[counter]:
            raise Failure(
                f"task {name}: counter {counter} is {counters[counter]:,}, the reference machine has {expected_counters[counter]:,}"
            )
    return {**figures, "against": "reference machine", "bytes": int(memory.frame.size)}


def check_joint_program(machine: Machine, joint: JointProgram) -> dict:
    """A joint program on test images against the machine's own runs of each of its results."""
    build = machine.build
    images = [np.roll(test_image(build), image, axis=1) for image in range(len(joint.image_offsets))]
    together = build.new_memory()
    build.write_images(together.frame, joint, images)
    counters = machine.executor.run(joint.program, together, machine.max_cycles)
    compared = 0
    for member in joint.members:
        alone = build.new_memory()
        build.write_image(alone.frame, images[member.image])
        machine.executor.run(build.task(member.pathway).program, alone, machine.max_cycles)
        found = together.frame[build.output_part(member.pathway, member.output_offset)]
        what = f"{member.pathway} of image {member.image} by {joint.label}, output against a run of its own"
        _require_equal(found, alone.frame[build.output_part(member.pathway)], what)
        compared += found.size
    return {"counters": counters, "against": "runs of their own", "bytes": int(compared)}


# --- DRAM rate and power ------------------------------------------------------------------------------------------------------


def _rate_bytes(machine: Machine) -> int:
    return min(max(machine.constant_bytes, _RATE_BYTES[0]), _RATE_BYTES[1])


def check_all_ports(machine: Machine, reads: bool, writes: bool) -> dict:
    """Bytes a cycle through all read ports of the load unit, through the store unit's write port, or both at once."""
    frame_bytes = machine.build.frame_bytes
    return _measured(
        machine,
        all_ports(machine.configuration, reads, writes, _rate_bytes(machine), machine.constant_bytes, frame_bytes),
    )


def check_read_port(machine: Machine, port: int) -> dict:
    """Bytes a cycle through one read port of the load unit."""
    configuration = machine.configuration
    program = read_port(configuration, port, _rate_bytes(machine) // configuration.load_ports, machine.constant_bytes)
    for place, needed, there in (
        ("the build's constant window", program.window_bytes, machine.constant_bytes),
        ("the weight memory", program.weight_bytes, configuration.weight_bytes),
    ):
        if needed > there:
            raise NotMeasured(f"{place} has {there:,} bytes, and a port by itself needs {needed:,}")
    if machine.has_clock() and not machine.counts_busy_cycles():
        raise NotMeasured(
            "this machine counts no busy cycles, as the engine hls, whose kernel has one read port: see read rate"
        )
    return _measured(machine, program)


def _measured(machine: Machine, program: RateProgram) -> dict:
    """The figures of a run: on a board, bytes a second by the processor's clock, too. Counts of beats must be those of the program."""
    constants, frame = (np.zeros(size, np.uint8) for size in (machine.build.constants.size, machine.build.frame_bytes))
    machine.run_code(program.code, constants, frame)  # memory is allocated and constants are loaded here
    constants.flags.writeable = False
    executor, seconds = machine.executor, None
    place, memory = Program(0, len(program.code)), Memory(constants, frame)
    if isinstance(executor, StagedExecutor):
        executor.upload(memory, slice(None))
        begin = time.perf_counter()
        counters = executor.compute(place, memory, machine.max_cycles)
        seconds = time.perf_counter() - begin
    else:
        counters = executor.run(place, memory, machine.max_cycles)
    if "cycles" not in counters:
        raise NotMeasured(f"the {machine.title} has no clock")
    stored = program.written_bytes // BEAT_BYTES
    if counters["write_beats"] != stored:
        raise Failure(f"COUNTER_WRITE_BEATS is {counters['write_beats']:,} where {stored:,} beats were stored")
    if counters["read_beats"] < program.read_beats:
        raise Failure(
            f"COUNTER_READ_BEATS is {counters['read_beats']:,} where at least {program.read_beats:,} beats were loaded"
        )
    cycles = counters["cycles"]
    figures: dict = {"cycles": cycles}
    for direction, unit, moved, ports in (
        ("read", "load", program.read_bytes, program.read_ports),
        ("write", "store", program.written_bytes, 1),
    ):
        if moved:
            busy = counters[f"{unit}_busy"]
            counted = busy != 0 or machine.counts_busy_cycles()
            if not counted:
                busy = cycles
            if not 0 < busy <= cycles:
                raise Failure(
                    f"COUNTER_{unit.upper()}_BUSY is {busy:,} in a run of {cycles:,} cycles that moved {moved:,} bytes"
                )
            if moved > busy * ports * BEAT_BYTES:
                raise Failure(
                    f"{moved:,} bytes in {busy:,} cycles are more than {ports * BEAT_BYTES} a cycle, which is all that {ports} "
                    f"port{'s' * (ports > 1)} can move"
                )
            figures[direction] = {
                "bytes": moved,
                "bytes_per_cycle": moved / busy,
                "busy_cycles": busy if counted else None,
                "dram_stall_cycles": counters[f"{unit}_dram_stall"],
                "ports": ports,
            }
            if seconds is not None:
                figures[direction]["megabytes_per_second"] = moved / seconds / 1e6
    if seconds is not None:
        figures["seconds"] = seconds
    return figures


def check_power(machine: Machine) -> dict:
    """Watts by rail at this moment."""
    meter = machine.executor
    if not isinstance(meter, PowerMeter):
        raise NotMeasured(f"the {machine.title} has no power rails")
    try:
        return {"watts": meter.power()}
    except UserError as error:
        raise NotMeasured(str(error)) from None


def checks_of(machine: Machine, names: Sequence[str], bundle: Bundle | None) -> dict[str, Callable[[], dict]]:
    """Every check by its name, in order. names: of the tasks, as TASK or TASK@PATHWAY."""
    return {
        "registers": lambda: check_registers(machine),
        "processor memory": lambda: check_processor_memory(machine),
        "constant memory": lambda: check_constant_memory(machine),
        "frame memory": lambda: check_frame_memory(machine),
        "interrupts": lambda: check_interrupts(machine),
        **{f"task {name}": lambda name=name: check_task(machine, name, bundle) for name in names},
        **{
            f"joint {joint.label}": lambda joint=joint: check_joint_program(machine, joint)
            for joint in machine.build.joint
            if {name for name, _ in joint.results} <= set(names)
        },
        **{
            f"read rate, port {port}": lambda port=port: check_read_port(machine, port)
            for port in range(machine.configuration.load_ports)
        },
        "read rate": lambda: check_all_ports(machine, True, False),
        "write rate": lambda: check_all_ports(machine, False, True),
        "read and write rate": lambda: check_all_ports(machine, True, True),
        "power": lambda: check_power(machine),
    }


def run_check(name: str, check: Callable[[], dict]) -> Check:
    """Run one check. Faults of the machine, and errors of its driver, make it fail."""
    begin = time.perf_counter()
    try:
        result = Check(name, PASSED, figures=check())
    except NotMeasured as reason:
        result = Check(name, NOT_MEASURED, str(reason))
    except (Failure, *_MACHINE_ERRORS) as problem:
        result = Check(name, FAILED, " ".join(str(problem).split("\n")))
    result.seconds = time.perf_counter() - begin
    return result


def require_bundle_of(build: Build, bundle: Bundle) -> None:
    """UserError unless the build was made from this bundle."""
    if bundle.sha256 != build.bundle_sha256:
        raise UserError(
            f"bundle {bundle.name} has SHA-256 {bundle.sha256[:16]}…, build {build.name} was made from {build.bundle_sha256[:16]}…; "
            "name the bundle that the build was generated from"
        )


def report_of(machine: Machine, checks: Sequence[Check], environment: dict) -> dict:
    """All of it as JSON values; docs/board.md says what they mean."""
    build = machine.build
    return {
        "format": FORMAT,
        "version": VERSION,
        "passed": all(check.state != FAILED for check in checks),
        "executor": machine.name,
        "build": {
            "name": build.name,
            "fingerprint": build.fingerprint,
            "configuration": build.configuration.name,
            "bundle_sha256": build.bundle_sha256,
        },
        "environment": environment,
        "checks": [asdict(check) for check in checks],
    }
