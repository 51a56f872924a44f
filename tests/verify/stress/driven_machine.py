"""The simulated accelerator as a driver on a board has it: registers, memory that both see, and time that passes when it is told to."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import Space
from moesaic.spec.registers import CONTROL_START, STATUS_BUSY
from tests.sim import stopping


@dataclass(frozen=True)
class Work:
    """A program, what it finds in memory, and the frame window that it has to leave. counters: those that the reference machine has."""

    program: Program
    memory: Memory
    frame: np.ndarray
    counters: dict[str, int]


class DrivenMachine:
    """Context manager over an executor, which stays open. Files in a folder of its own are the DRAM. load_ports: of the machine."""

    def __init__(self, executor: RtlExecutor, load_ports: int) -> None:
        self.executor = executor
        self.load_ports = load_ports
        self._folder = tempfile.TemporaryDirectory(prefix="moesaic-stress-")

    def __enter__(self) -> DrivenMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def read(self, register: str) -> int:
        """The register's value."""
        return stopping.read(self.executor, register)

    def write(self, register: str, value: int) -> None:
        """Write the register."""
        stopping.write(self.executor, register, value)

    def prepare(self, work: Work, max_cycles: int) -> None:
        """Map fresh copies of the memory and write every register that a run needs, but do not start it."""
        stopping.prepare(self.executor, work.program, work.memory, max_cycles, Path(self._folder.name))

    def start(self, work: Work, max_cycles: int = 0) -> None:
        """Prepare a run and start it."""
        self.prepare(work, max_cycles)
        self.write("CONTROL", CONTROL_START)

    def finish(self, most: int) -> int:
        """Let at most so many cycles pass until the interrupt; STATUS then. AssertionError if the machine is busy still."""
        raised = self.executor.advance(most)
        status = self.read("STATUS")
        assert raised and not status & STATUS_BUSY, f"STATUS {status:#x} after {most} cycles, interrupt {raised}"
        return status

    def frame(self) -> np.ndarray:
        """The frame window as it is in DRAM."""
        return np.fromfile(self._file(Space.FRAME), np.uint8)

    def constants(self) -> np.ndarray:
        """The constant window as it is in DRAM."""
        return np.fromfile(self._file(Space.CONSTANT), np.uint8)

    def _file(self, space: Space) -> Path:
        return Path(self._folder.name) / f"{space.name}.bin"
