"""The board of mock_pynq with the simulated RTL in it: every register access of the driver is one on the RTL's AXI4-Lite port.

DRAM is a file for every buffer, which the DRAM model of the simulation and this process map. Time stands still between
accesses, so a read of STATUS lets some pass first, as it passes on a board between two polls.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import Space
from moesaic.spec.registers import BY_NAME, CONTROL_START, STATUS_BUSY
from tests.host.mock_pynq import Board

CYCLES_BETWEEN_POLLS = 4_000


@dataclass
class RtlBoard(Board):
    """directory: for the files of DRAM. configuration, rtl_directory: of the accelerator, which a download puts in anew."""

    machine: RtlExecutor | None = None
    configuration: HardwareConfiguration | None = None
    rtl_directory: Path | None = None
    directory: Path | None = None

    def __post_init__(self) -> None:
        self._files: dict[int, Path] = {}
        self._numbers = itertools.count()

    def download(self) -> None:
        self.downloads += 1
        self.controller.reset()
        self.end()
        self.machine = RtlExecutor(self.rtl_directory, self.configuration)
        self.busy = self.waiting = False

    def end(self) -> None:
        if self.machine is not None:
            self.machine.close()

    def _new_memory(self, size: int) -> np.ndarray:
        path = self.directory / f"dram-{next(self._numbers)}"
        memory = np.memmap(path, np.uint8, "w+", shape=(size,))
        memory[:] = 0xC3
        self._files[self._next_address] = path
        return memory

    def read(self, offset: int) -> int:
        if offset == BY_NAME["STATUS"].offset:
            if self.busy and not self.hangs:
                self._show(self.machine.advance(CYCLES_BETWEEN_POLLS))
            if self.on_poll is not None:
                self.on_poll()
            status = self.machine.read_register(offset)
            self.busy = bool(status & STATUS_BUSY)
            return status
        return self.machine.read_register(offset)

    def write(self, offset: int, value: int) -> None:
        if offset == BY_NAME["CONTROL"].offset and value & CONTROL_START:
            for space in (Space.CONSTANT, Space.FRAME):
                self._map(space)
            self.starts += 1
            self.busy = True
        if offset == BY_NAME["CONTROL"].offset and self.hangs:
            value &= CONTROL_START  # no cycle passes in which it could be obeyed
        self.machine.write_register(offset, value)
        self._show(self.machine.advance(1))

    def _map(self, space: Space) -> None:
        """Connect the buffer that the window registers point into, all of it: what the registers say is for the RTL to obey."""
        low, high = (
            self.machine.read_register(BY_NAME[f"{space.name}_BASE_{part}"].offset) for part in ("LOW", "HIGH")
        )
        base = high << 32 | low
        start = next(start for start, memory in self.dram.items() if start <= base < start + len(memory))
        self.machine.map_memory(space, start, self._files[start], len(self.dram[start]))

    def _show(self, raised: bool) -> None:
        """Show the interrupt controller the level of irq."""
        self.controller.input(raised and not self.lose_interrupts)

    def pass_time(self) -> None:
        if self.busy and not self.hangs:
            self._show(self.machine.advance(CYCLES_BETWEEN_POLLS))
