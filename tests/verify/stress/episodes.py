"""What may happen to a machine at any moment of a run. Each episode leaves it as it likes; the next run has to be right nevertheless.

An episode takes the machine, the work that it may run, and a generator of random numbers. It raises AssertionError where the machine breaks
the contract of its registers (docs/registers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from moesaic.sim.machines.dram import CHANNELS
from moesaic.sim.machines.rtl_executor import WINDOW_BASES
from moesaic.spec.executor import Memory
from moesaic.spec.isa import FAULT_UNIT_NAMES, INSTRUCTION_BYTES, Fault, Space
from moesaic.spec.registers import (
    BY_NAME,
    CONTROL_START,
    CONTROL_STOP,
    REGISTER_FILE_BYTES,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
    STATUS_STOPPED,
)
from tests.sim.stopping import run_registers
from tests.verify.stress.driven_machine import DrivenMachine, Work

AMPLE = 1_000_000
"""Cycles in which every run of the work ends."""
DRAIN = 20_000
"""Cycles in which the bursts under way at a stop end, with any timing."""
_SILENCE = 3_000
"""Cycles of a run with a dead slave, after which everything that does not depend on it has ended or waits."""

Episode = Callable[[DrivenMachine, Sequence[Work], np.random.Generator], None]


def right_run(machine: DrivenMachine, work: Work) -> int:
    """A run that nothing disturbs leaves the frame and the counters that it has to. Returns its cycles."""
    machine.start(work)
    assert machine.finish(AMPLE) == STATUS_DONE
    return _compare(machine, work)


def soft_stop(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """CONTROL's stop in any state, once or again and again, also before the first instruction and when it is too late."""
    work = _any(works, rng)
    cycles = right_run(machine, work)
    machine.start(work)
    _pass(machine, int(rng.integers(cycles + 200)))
    for _ in range(int(rng.integers(1, 4))):
        machine.write("CONTROL", CONTROL_STOP)
    status = machine.finish(DRAIN)
    assert status in (STATUS_DONE, STATUS_DONE | STATUS_STOPPED), f"STATUS {status:#x} after a stop"
    assert [machine.read(name) for name in ("FAULT", "FAULT_UNIT", "FAULT_TAG")] == [0, 0, 0]
    if status == STATUS_DONE:
        _compare(machine, work)


def start_while_busy(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """Starts during a run are ignored: it ends as if there had been none, once."""
    work = _any(works, rng)
    cycles = right_run(machine, work)
    edges = machine.executor.interrupts()
    machine.start(work)
    for _ in range(int(rng.integers(1, 5))):
        _pass(machine, int(rng.integers(cycles // 4)))
        if machine.read("STATUS") & STATUS_BUSY:
            machine.write("CONTROL", CONTROL_START)
    assert machine.finish(AMPLE) == STATUS_DONE
    _compare(machine, work)
    assert machine.executor.interrupts() == edges + 1


def registers_in_mid_run(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """Whatever is written to run registers, read-only ones and offsets without a register during a run, it ends as it would have."""
    work = _any(works, rng)
    cycles = right_run(machine, work)
    machine.start(work)
    ours = [
        *run_registers(work.program, work.memory, 0),
        "STATUS",
        "FAULT",
        "FINGERPRINT_LOW",
        "COUNTER_CYCLES",
        "COUNTER_WRITE_BEATS",
    ]
    known = {register.offset for register in BY_NAME.values()}
    free = [offset for offset in range(0, REGISTER_FILE_BYTES, 4) if offset not in known]
    for _ in range(int(rng.integers(1, 20))):
        _pass(machine, int(rng.integers(cycles // 10)))
        if rng.random() < 0.7:
            machine.write(str(rng.choice(ours)), int(rng.integers(1 << 32)))
        else:
            offset = int(rng.choice(free))
            machine.executor.write_register(offset, int(rng.integers(1 << 32)))
            assert machine.executor.read_register(offset) == 0
    assert machine.finish(AMPLE) == STATUS_DONE
    _compare(machine, work)


def cycle_limit(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """MAX_CYCLES in any state: a run within it ends, any other faults with TIMEOUT in fetch."""
    work = _any(works, rng)
    cycles = right_run(machine, work)
    limit = int(rng.choice([1, 2, 3, int(rng.integers(1, cycles)), cycles - 1, cycles, cycles + 1, 2 * cycles]))
    machine.start(work, max(limit, 1))
    status = machine.finish(AMPLE)
    if status == STATUS_DONE:
        assert _compare(machine, work) <= limit
    else:
        assert status == STATUS_DONE | STATUS_FAULT, f"STATUS {status:#x} with MAX_CYCLES {limit}"
        found = [machine.read(name) for name in ("FAULT", "FAULT_UNIT", "FAULT_TAG")]
        assert found == [Fault.TIMEOUT, FAULT_UNIT_NAMES.index("fetch"), 0]
        assert machine.read("COUNTER_CYCLES") >= limit


def bus_error(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """A beat of either window answers SLVERR: the run faults, or the beat was none of its own and it is right."""
    work = _any(works, rng)
    space = Space(int(rng.integers(2)))
    size = (work.memory.constants if space == Space.CONSTANT else work.memory.frame).size
    machine.executor.set_error(WINDOW_BASES[space] + int(rng.integers(size)))
    try:
        machine.start(work)
        status = machine.finish(AMPLE)
    finally:
        machine.executor.set_error(None)
    if status == STATUS_DONE:
        _compare(machine, work)
    else:
        assert status == STATUS_DONE | STATUS_FAULT, f"STATUS {status:#x}"
        assert machine.read("FAULT") in (Fault.AXI_READ, Fault.AXI_WRITE)


def bad_program(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """An instruction whose opcode does not exist, anywhere in the program, while the units work on what came before it."""
    work = _any(works, rng)
    constants = work.memory.constants.copy()
    place = work.program.offset + INSTRUCTION_BYTES * int(rng.integers(work.program.size // INSTRUCTION_BYTES))
    constants[place] = 0xFF
    broken = Work(work.program, Memory(constants, work.memory.frame), work.frame, {})
    machine.start(broken)
    assert machine.finish(AMPLE) == STATUS_DONE | STATUS_FAULT
    assert machine.read("FAULT") == Fault.BAD_INSTRUCTION
    assert np.array_equal(machine.constants(), constants)


def dead_slave(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """A channel of a port dies. MAX_CYCLES or a stop ends a run that owes it nothing; otherwise the slave's return does, or a reset."""
    work = _any(works, rng)
    main = machine.load_ports
    channel = str(rng.choice(CHANNELS))
    port = main if channel in ("AW", "W", "B") else int(rng.integers(main + 1))
    machine.start(work, _SILENCE if rng.random() < 0.5 else 0)
    _pass(machine, int(rng.integers(2_000)))
    machine.executor.set_silent(port, channel)
    if not machine.executor.advance(2 * _SILENCE):
        machine.write("CONTROL", CONTROL_STOP)
        machine.executor.advance(DRAIN)
    status = machine.read("STATUS")
    machine.executor.set_silent(None)
    if not status & STATUS_BUSY:
        if status == STATUS_DONE:
            _compare(machine, work)
        return
    if rng.random() < 0.5:  # the slave comes back, and what it owes with it
        assert machine.finish(DRAIN) & STATUS_DONE
    else:
        _reset(machine)


def reset(machine: DrivenMachine, works: Sequence[Work], rng: np.random.Generator) -> None:
    """A reset in any state, also while a fault is being dealt with: all registers are as after power-up."""
    work = _any(works, rng)
    if rng.random() < 0.5:
        space = Space(int(rng.integers(2)))
        machine.executor.set_error(WINDOW_BASES[space] + int(rng.integers(1 << 16)))
    machine.start(work)
    _pass(machine, int(rng.integers(1, 6_000)))
    _reset(machine, int(rng.integers(1, 12)))
    machine.executor.set_error(None)


EPISODES: tuple[Episode, ...] = (
    soft_stop, start_while_busy, registers_in_mid_run, cycle_limit, bus_error, bad_program, dead_slave, reset,
)  # fmt: skip


def _any(works: Sequence[Work], rng: np.random.Generator) -> Work:
    return works[int(rng.integers(len(works)))]


def _pass(machine: DrivenMachine, cycles: int) -> None:
    if cycles:
        machine.executor.advance(cycles)


def _compare(machine: DrivenMachine, work: Work) -> int:
    wrong = np.flatnonzero(machine.frame() != work.frame)
    assert wrong.size == 0, f"{wrong.size} bytes of the frame differ, the first at {wrong[0]}"
    assert np.array_equal(machine.constants(), work.memory.constants), "the constant window was written to"
    found = {name: machine.read(f"COUNTER_{name.upper()}") for name in work.counters}
    assert found == work.counters
    return machine.read("COUNTER_CYCLES")


def _reset(machine: DrivenMachine, cycles: int = 8) -> None:
    machine.executor.reset(cycles)
    found = {name: machine.read(name) for name in BY_NAME if not name.startswith("FINGERPRINT")}
    assert not any(found.values()), f"after a reset: { ({name: value for name, value in found.items() if value}) }"
