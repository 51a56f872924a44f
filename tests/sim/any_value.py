"""Registers and fields from the whole of their width: a machine of any size has to do with them what the reference machine does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import FAULT_UNIT_NAMES, Fault, Space, Unit, pack, semaphore
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import CONTROL_START, INTERRUPT_DONE, STATUS_DONE, STATUS_FAULT
from tests.sim.stopping import read, write
from tests.spec.legal_fields import random_fields

MAX_CYCLES = 2_000_000
WINDOW_BYTES = 4096
DRAWS = 20
"""Enough for nearly every bit of every field to change three times."""
_END = pack("end")
_ONCE = {"count_1": 1, "count_2": 1, "count_3": 1}
_DATA, _MOVED = 2048, 1024


def compare_registers(executor: RtlExecutor, directory: Path, seed: int) -> None:
    """Windows and program anywhere and of any size: each register by turns holds a value and that with every bit turned over.

    A program that does not lie in the constant window faults in fetch, and one that stores behind the end of the frame in store.
    directory: for the files of DRAM.
    """
    rng = np.random.default_rng([seed, 92])
    page, constant_page = (int(rng.integers(1 << 22, 1 << 26)) for _ in range(2))
    program_offset, frame_offset = (int(rng.integers(1 << 20, 1 << 26)) << 6 for _ in range(2))
    program_size, constant_size, frame_size, max_cycles = (int(rng.integers(1 << 22, 1 << 31)) for _ in range(4))
    content = rng.integers(0, 256, WINDOW_BYTES, np.uint8)
    outcomes = set()
    for turn in range(8):
        over, sizes_over = 0xFFFF_FFFF * (turn & 1), 0xFFFF_FFFF * (turn >> 1 & 1)
        offset, stored = program_offset ^ over & ~63, frame_offset ^ over & ~63
        bases = {
            Space.CONSTANT: (constant_page << 12) ^ (0xFF_FFFF_F000 * (turn & 1)),
            Space.FRAME: (page << 12) ^ (0xFF_FFFF_F000 * (turn & 1)),
        }
        registers = {
            "PROGRAM_OFFSET": offset, "PROGRAM_SIZE": program_size ^ over, "CONSTANT_SIZE": constant_size ^ sizes_over,
            "FRAME_SIZE": frame_size ^ sizes_over, "MAX_CYCLES": max_cycles ^ over,
        }  # fmt: skip
        code = _copy(offset + _DATA, stored)
        content[: code.size] = code
        files = {space: directory / f"{space.name}.bin" for space in Space}
        content.tofile(files[Space.CONSTANT])
        np.zeros(WINDOW_BYTES, np.uint8).tofile(files[Space.FRAME])
        for space, begin in ((Space.CONSTANT, offset), (Space.FRAME, stored)):
            executor.map_memory(space, bases[space] + begin, files[space], WINDOW_BYTES)
            registers[f"{space.name}_BASE_LOW"] = bases[space] & 0xFFFF_FFFF
            registers[f"{space.name}_BASE_HIGH"] = bases[space] >> 32
        for name, value in registers.items():
            write(executor, name, value)
            assert read(executor, name) == value
        write(executor, "INTERRUPT_ENABLE", INTERRUPT_DONE)
        write(executor, "INTERRUPT_STATUS", INTERRUPT_DONE)
        write(executor, "CONTROL", CONTROL_START)
        assert executor.advance(MAX_CYCLES)
        room, frame_room = registers["CONSTANT_SIZE"] - offset, registers["FRAME_SIZE"] - stored
        assert min(abs(room), abs(frame_room)) > WINDOW_BYTES, "what lies across a limit is not what this is about"
        unit = "fetch" if room < 0 else "store" if frame_room < 0 else None
        outcomes.add(unit)
        if unit is None:
            assert read(executor, "STATUS") == STATUS_DONE
            moved = np.fromfile(files[Space.FRAME], np.uint8)[:_MOVED]
            assert np.array_equal(moved, content[_DATA : _DATA + _MOVED])
        else:
            assert read(executor, "STATUS") == STATUS_DONE | STATUS_FAULT
            assert read(executor, "FAULT") == int(Fault.ADDRESS)
            assert FAULT_UNIT_NAMES[read(executor, "FAULT_UNIT")] == unit
    assert None in outcomes and len(outcomes) > 1


def _copy(source: int, target: int) -> np.ndarray:
    """A program that copies from the constant to the frame window. source, target: offsets in these."""
    moved = 1 << semaphore(Unit.LOAD, Unit.STORE)
    code = (
        pack("load", dram_offset=source, bytes=_MOVED, signal_mask=moved, **_ONCE)
        + pack("store", space=int(Space.FRAME), dram_offset=target, bytes=_MOVED, wait_mask=moved, **_ONCE)
        + _END
    )
    return np.frombuffer(code, np.uint8)


def compare_fields(executor: RtlExecutor, configuration: HardwareConfiguration, name: str, seed: int) -> None:
    """Legal fields of an instruction, so that nearly every address is out of reach: the fault is the reference machine's."""
    rng = np.random.default_rng([seed, *name.encode()])
    machine, faults = ReferenceMachine(configuration, seed=1), 0
    executor.reset()  # what the expert queues hold survives a run
    for _ in range(DRAWS):
        fields = random_fields(name, configuration, rng) | {"wait_mask": 0}
        code = pack(name, **{field: value for field, value in fields.items() if field != "opcode"}) + _END
        program = Program(0, len(code))
        memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(WINDOW_BYTES, np.uint8))
        expected = Memory(memory.constants.copy(), memory.frame.copy())
        try:
            machine.run(program, expected, 0)
        except MachineFault as fault:
            faults += 1
            with pytest.raises(MachineFault) as caught:
                executor.run(program, memory, MAX_CYCLES)
            found = caught.value
            assert (found.cause, found.unit, found.tag) == (fault.cause, fault.unit, fault.tag), fields
        else:
            executor.run(program, memory, MAX_CYCLES)
            assert np.array_equal(memory.frame, expected.frame), fields
    assert faults > DRAWS // 2
