"""What mutants are run on, cheapest first: random programs, stops, faults and networks, with what the reference machine makes of them.

Everything runs on one configuration, `tiny` with so little room for weights that experts are loaded after the router, hence conditionally.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from moesaic.hls.compiler.generate import generate
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.build import Build
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import Fault, Space, pack
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import BY_NAME, CONTROL_START, CONTROL_STOP, REGISTERS, STATUS_DONE, STATUS_STOPPED
from tests.hls.random_bundle import random_bundle
from tests.sim.faults import faults
from tests.sim.instruction_cases import DEGENERATE_ROUTES, SCENARIOS, Case, degenerate_route, overlapped
from tests.sim.programs import PROGRAM_BYTES, random_program
from tests.sim.stopping import read, run_and_stop, write
from tests.spec.legal_fields import SMALLEST, sides

MAX_CYCLES = 2_000_000
STUCK_CYCLES = 5_000
"""Limit of runs that are to end by TIMEOUT."""
STOPS = (50, 700, 2_000, 4_500)
"""Cycles after which runs of a network are stopped before the first whole one."""

Counters = Mapping[str, int]


class Step(Protocol):
    """One thing to do with the machine.

    name: unique. run: returns how what happened differs from what is right, "" if it does not, and the counters of the run, if any.
    limit: cycles after which a run has failed. Raises MachineFault, InternalError or AssertionError, which are failures, too.
    """

    @property
    def name(self) -> str: ...
    def run(self, executor: RtlExecutor, limit: int) -> tuple[str, Counters]: ...


@dataclass(frozen=True)
class Run:
    """A program that has to leave this frame window, and these counters."""

    name: str
    program: Program
    memory: Memory
    frame: np.ndarray
    counters: Counters

    def run(self, executor: RtlExecutor, limit: int) -> tuple[str, Counters]:
        memory = Memory(self.memory.constants, self.memory.frame.copy())
        found = executor.run(self.program, memory, limit)
        wrong = int(np.count_nonzero(memory.frame != self.frame))
        if wrong:
            return f"{wrong} bytes differ", found
        for name in ("instructions", "matmul_array", "write_beats"):
            if found[name] != self.counters[name]:
                return f"counter {name} is {found[name]}, {self.counters[name]} is right", found
        moved = executor.dram_bytes
        if moved["load_read"] + moved["main_read"] != 16 * found["read_beats"]:
            return f"counter read_beats is {found['read_beats']}", found
        return "", found


@dataclass(frozen=True)
class Stopped:
    """A run that the host stops after some cycles."""

    name: str
    program: Program
    memory: Memory
    cycles: int

    def run(self, executor: RtlExecutor, limit: int) -> tuple[str, Counters]:
        memory = Memory(self.memory.constants, self.memory.frame.copy())
        with tempfile.TemporaryDirectory(prefix="dram-") as directory:
            status = run_and_stop(executor, self.program, memory, self.cycles, Path(directory))
        return "" if status == STATUS_DONE | STATUS_STOPPED else f"STATUS {status:#x} after a stop", {}


@dataclass(frozen=True)
class Faulting:
    """A program that has to end with this cause, unit and tag.

    memory: where it runs. at: where a beat answers with an error. limit: of its cycles, where it runs into it.
    """

    name: str
    program: Program
    memory: Memory
    expected: tuple[Fault, str, int]
    at: tuple[Space, int] | None = None
    limit: int | None = None

    def run(self, executor: RtlExecutor, limit: int) -> tuple[str, Counters]:
        executor.error_at = self.at
        found = (Fault.NONE, "", 0)
        try:
            executor.run(self.program, Memory(self.memory.constants, self.memory.frame.copy()), self.limit or limit)
        except MachineFault as fault:
            found = (fault.cause, fault.unit, fault.tag)
        finally:
            executor.error_at = None
        counters = {"cycles": read(executor, "COUNTER_CYCLES")}
        # which of the instructions under way meets an error on the bus depends on the timing
        right = found == self.expected if self.at is None else found[:2] == self.expected[:2]
        return "" if right else f"{found[0].name} in {found[1] or 'no unit'}, tag {found[2]}", counters


@dataclass(frozen=True)
class AfterReset:
    """Every register but the fingerprint reads 0 before anything has been done, whatever it held at power-up."""

    name: str

    def run(self, executor: RtlExecutor, limit: int) -> tuple[str, Counters]:
        for register in REGISTERS:
            if not register.name.startswith("FINGERPRINT") and (value := read(executor, register.name)):
                return f"{register.name} reads {value:#x} after the reset", {}
        return "" if executor.interrupts() == 0 else "an interrupt after the reset", {}


@dataclass(frozen=True)
class RegisterFile:
    """Every writable register takes what is written to it, where its mask says so, and nothing else does.

    CONTROL without its bits, and a stop while idle, start nothing.
    """

    name: str

    def run(self, executor: RtlExecutor, limit: int) -> tuple[str, Counters]:
        before = {r.name: read(executor, r.name) for r in REGISTERS}
        for pattern in (0xFFFF_FFFF, 0xA5A5_A5A5, 0x5A5A_5A5A, 0):
            for register in REGISTERS:
                if register.name not in ("CONTROL", "INTERRUPT_STATUS"):
                    write(executor, register.name, pattern ^ (register.offset * 0x0101_0101 & 0xFFFF_FFFF))
            for register in REGISTERS:
                value = read(executor, register.name)
                right = before[register.name]
                if register.access == "rw":
                    right = (pattern ^ (register.offset * 0x0101_0101 & 0xFFFF_FFFF)) & register.writable
                if value != right:
                    return f"{register.name} reads {value:#x}, {right:#x} is right", {}
        write(executor, "INTERRUPT_ENABLE", 0)
        for value in (0, CONTROL_STOP, ~CONTROL_START & 0xFFFF_FFFF):
            write(executor, "CONTROL", value)
            if (status := read(executor, "STATUS")) != before["STATUS"]:
                return f"STATUS is {status:#x} after {value:#x} for CONTROL", {}
        beyond = 4 * (max(r.offset for r in BY_NAME.values()) // 4 + 1)
        return "" if executor.read_register(beyond) == 0 else "what is no register reads other than 0", {}


def configuration() -> HardwareConfiguration:
    """What the mutants are built for."""
    return replace(load_configuration("tiny"), weight_bytes=8192, shared_bytes=8192)


def network() -> Build:
    """An observed build of a random network whose sizes are multiples of nothing, some of whose experts have 4 bits.

    The second task's pathway is pruned.
    """
    architecture = Architecture(40, 56, 8, 40, 3, 5, 100, 72, 6, 2, (1,), four_bit_experts={1: (2, 4)})
    tasks = {
        "whole": Task("depth", 1, 8, 1.0, 2, {1: tuple(range(6))}),
        "pruned": Task("normals", 3, 8, 1.0, 1, {1: (1, 4, 5)}),
    }
    return generate(random_bundle(architecture, tasks, seed=5), configuration(), observe=True)


@functools.cache
def steps() -> tuple[Step, ...]:
    """Everything that a mutant has to do, in order."""
    return (
        AfterReset("registers after the reset"),
        _random_run(0, 20),
        _random_stop(1, 700),
        _random_run(1, 30),
        *(_scenario(name, 0) for name in SCENARIOS),
        RegisterFile("registers"),
        *_bus_errors(2),
        _random_run(2, 30),
        *_faults(),
        *(_degenerate(kind) for kind in DEGENERATE_ROUTES),
        *(_shared(name, below) for name in ("matmul_to_act", "matmul_to_weight", "attention") for below in (0, 1024)),
        _overlapped(0),
        *(_random_stop(3, cycles) for cycles in (20, 3_000, 9_000)),
        _random_run(3, 40),
        *_network_steps(),
        *(_scenario(name, seed) for seed in (1, 2) for name in SCENARIOS),
        *_limits(),
    )


def _run(name: str, program: Program, memory: Memory) -> Run:
    after = Memory(memory.constants, memory.frame.copy())
    counters = ReferenceMachine(configuration(), seed=1).run(program, after, 0)
    return Run(name, program, memory, after.frame, counters)


@functools.cache
def _random_case(seed: int, count: int) -> tuple[Program, Memory]:
    return random_program(configuration(), np.random.default_rng(seed), count)


def _random_run(seed: int, count: int) -> Run:
    return _run(f"random program {seed}", *_random_case(seed, count))


def _random_stop(seed: int, cycles: int) -> Stopped:
    return Stopped(f"stop at {cycles} cycles", *_random_case(seed, 40), cycles)


def _scenario(name: str, seed: int) -> Run:
    case = Case(configuration(), np.random.default_rng([seed, *name.encode()]))
    SCENARIOS[name](case)
    return _run(f"{name} {seed}", *case.finish())


def _shared(name: str, below: int) -> Run:
    """With weights in the part of the activation memory that continues the weight memory, the first `below` bytes before it."""
    machine, rng = configuration(), np.random.default_rng([below, *name.encode()])
    case = Case(machine, rng, weight_limit=machine.shared_bytes, weight_base=machine.weight_bytes - below)
    SCENARIOS[name](case)
    return _run(f"{name} in shared memory, {below} bytes before it", *case.finish())


def _degenerate(kind: str) -> Run:
    case = Case(configuration(), np.random.default_rng([7, *kind.encode()]), act_limit=configuration().act_bytes)
    degenerate_route(case, kind, 2 * configuration().tile_rows + 1)
    return _run(f"routing, {kind}", *case.finish())


def _overlapped(seed: int) -> Run:
    return _run(f"units at once {seed}", *overlapped(Case(configuration(), np.random.default_rng(seed))))


def _small(code: bytes) -> tuple[Program, Memory]:
    return Program(0, len(code)), Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(64, np.uint8))


def _faults() -> list[Step]:
    found: list[Step] = []
    for name, (code, cause, unit, tag) in faults(configuration()).items():
        limit = STUCK_CYCLES if cause == Fault.TIMEOUT else None
        found.append(Faulting(name, *_small(code), (cause, unit, tag), limit=limit))
    return found


def _bus_errors(seed: int) -> list[Step]:
    rng = np.random.default_rng([seed, 78])
    program, memory = _random_case(seed, 30)
    act_bytes, weights = len(memory.frame) // 3, len(memory.constants) - PROGRAM_BYTES
    places = {
        "instruction": (Space.CONSTANT, int(rng.integers(program.size)), Fault.AXI_READ, "fetch"),
        "weight": (Space.CONSTANT, PROGRAM_BYTES + int(rng.integers(weights)), Fault.AXI_READ, "load"),
        "output": (Space.FRAME, act_bytes + int(rng.integers(act_bytes)), Fault.AXI_WRITE, "store"),
    }
    return [
        Faulting(f"bus error, {name}", program, memory, (cause, unit, 0), at=(space, offset))
        for name, (space, offset, cause, unit) in places.items()
    ]


def _limits() -> list[Step]:
    """Both sides of every limit of every field."""
    found: list[Step] = []
    for name in SMALLEST:
        for index, side in enumerate(sides(name, configuration())):
            program, memory = _small(pack(name, tag=7, **side.fields) + pack("end"))
            after, expected = Memory(memory.constants, memory.frame.copy()), (Fault.NONE, "", 0)
            try:
                ReferenceMachine(configuration()).run(program, after, MAX_CYCLES)
            except MachineFault as fault:
                expected = (fault.cause, fault.unit, fault.tag)
            found.append(Faulting(f"limit {index} of {name}", program, memory, expected))
    return found


def _network_steps() -> list[Step]:
    build = network()
    memory = build.new_memory()
    image = np.random.default_rng(11).integers(0, 256, (build.image_height, build.image_width, 3)).astype(np.uint8)
    build.write_image(memory.frame, image)
    first = next(iter(build.tasks.values())).program
    found: list[Step] = [
        Stopped(f"network stopped at {cycles} cycles", first, Memory(memory.constants, memory.frame.copy()), cycles)
        for cycles in STOPS
    ]
    for name, task in build.tasks.items():
        step = _run(f"network, task {name}", task.program, Memory(memory.constants, memory.frame.copy()))
        found.append(step)
        memory.frame[:] = step.frame
    return found
