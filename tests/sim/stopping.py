"""A run on the simulated RTL that the host stops, by the registers, as the driver on a board does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moesaic.sim.machines.rtl_executor import WINDOW_BASES, RtlExecutor
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import Space
from moesaic.spec.registers import BY_NAME, CONTROL_START, CONTROL_STOP, INTERRUPT_DONE, STATUS_BUSY

_DRAIN_CYCLES = 20_000
"""Ample for the bursts outstanding at a stop, whatever the timing of the DRAM model."""


def write(executor: RtlExecutor, register: str, value: int) -> None:
    executor.write_register(BY_NAME[register].offset, value)


def read(executor: RtlExecutor, register: str) -> int:
    return executor.read_register(BY_NAME[register].offset)


def run_registers(program: Program, memory: Memory, max_cycles: int) -> dict[str, int]:
    """What a run takes from the registers, by their names."""
    values = {}
    for space, content in ((Space.CONSTANT, memory.constants), (Space.FRAME, memory.frame)):
        values[f"{space.name}_BASE_LOW"] = WINDOW_BASES[space] & 0xFFFF_FFFF
        values[f"{space.name}_BASE_HIGH"] = WINDOW_BASES[space] >> 32
        values[f"{space.name}_SIZE"] = content.size
    return values | {"PROGRAM_OFFSET": program.offset, "PROGRAM_SIZE": program.size, "MAX_CYCLES": max_cycles}


def prepare(executor: RtlExecutor, program: Program, memory: Memory, max_cycles: int, directory: Path) -> None:
    """Write the memory to SPACE.bin in a directory, map that, and write every register that a run needs, but do not start it."""
    for space, content in ((Space.CONSTANT, memory.constants), (Space.FRAME, memory.frame)):
        file = directory / f"{space.name}.bin"
        content.tofile(file)
        executor.map_memory(space, WINDOW_BASES[space], file, content.size)
    for name, value in run_registers(program, memory, max_cycles).items():
        write(executor, name, value)
    write(executor, "INTERRUPT_STATUS", INTERRUPT_DONE)
    write(executor, "INTERRUPT_ENABLE", INTERRUPT_DONE)


def run_and_stop(executor: RtlExecutor, program: Program, memory: Memory, cycles: int, directory: Path) -> int:
    """Start a program, stop it after that many cycles, and return STATUS once the machine is idle or has had ample time for it.

    memory: its frame holds what DRAM holds afterwards; its constants must not have changed. directory: for the files of DRAM.
    """
    prepare(executor, program, memory, 0, directory)
    write(executor, "CONTROL", CONTROL_START)
    if cycles:
        executor.advance(cycles)
    write(executor, "CONTROL", CONTROL_STOP)
    raised = executor.advance(_DRAIN_CYCLES)
    status = read(executor, "STATUS")
    assert raised == (not status & STATUS_BUSY), "the interrupt and STATUS disagree"
    assert np.array_equal(np.fromfile(directory / "CONSTANT.bin", np.uint8), memory.constants)
    memory.frame[:] = np.fromfile(directory / "FRAME.bin", np.uint8)
    return status
