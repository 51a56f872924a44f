"""The accelerator on a board, driven through PYNQ.

PYNQ parts used: Overlay (bitstream and its description), MMIO (registers), allocate (contiguous DRAM, cached by the
processor, so written data are flushed and results invalidated), Interrupt (if the overlay connects the interrupt).
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from spec.errors import InternalError, UserError
from spec.executor import FAULT_UNIT_NAMES, WINDOW_ALIGNMENT, Counters, MachineFault, Memory, Program
from spec.isa import Fault
from spec.registers import (
    BY_NAME,
    CONTROL_START,
    COUNTERS,
    INTERRUPT_DONE,
    REGISTER_FILE_BYTES,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
)

IP_NAME = "accelerator"
_POLL_SECONDS = 50e-6
_INTERRUPT_SECONDS = 1.0


@cache
def _interrupt_loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the process: PYNQ ties the interrupt lines to the loop in which they are first used."""
    return asyncio.new_event_loop()


def _loop_is_running() -> bool:
    """Whether the caller sits in an event loop (a notebook), where no other can run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _import_pynq():
    try:
        import pynq
    except ImportError:
        raise UserError(
            "pynq is missing: the board is driven through it; on a PYNQ image install it with: pip install pynq, "
            "elsewhere use the emulator"
        ) from None
    return pynq


def board_present() -> bool:
    """Whether pynq is installed, works here and finds a device. A board without pynq counts as none."""
    if find_spec("pynq") is None:
        return False
    try:
        import pynq

        return bool(pynq.Device.devices)
    except (ImportError, OSError, RuntimeError):
        return False


class _Window:
    """A DRAM window that both the processor and the accelerator see.

    PYNQ's arrays must not be touched once they are freed, so none leaves this class.
    """

    def __init__(self, pynq, name: str, size: int) -> None:
        try:
            # One alignment more than needed: nothing promises where a buffer begins.
            self._buffer = pynq.allocate(shape=(size + WINDOW_ALIGNMENT,), dtype=np.uint8, cacheable=True)
        except (MemoryError, RuntimeError, OSError) as error:
            raise UserError(
                f"no contiguous memory for the {name} window: {size} bytes asked for ({error}); close other users of the "
                "board's memory or boot with a larger cma= setting"
            ) from None
        self.size = size
        physical = int(self._buffer.physical_address)
        self._start = -physical % WINDOW_ALIGNMENT
        self.address = physical + self._start

    def write(self, data: np.ndarray) -> None:
        self._buffer[self._start : self._start + self.size] = data
        self._buffer.flush()

    def read(self, target: np.ndarray) -> None:
        self._buffer.invalidate()
        target[:] = self._buffer[self._start : self._start + self.size]

    def free(self) -> None:
        self._buffer.freebuffer()


class BoardExecutor:
    """Executor on a board, see spec.executor.

    bitstream: path of the .bit file, its .hwh beside it; it is loaded. timeout_seconds: how long a run may take by the
    clock of the processor, beyond the limit in cycles that the machine itself keeps.

    fingerprint: read from the accelerator. UserError if PYNQ is missing or the bitstream holds no accelerator. A run that
    ends in any way but `done` leaves the machine idle: the bitstream is loaded again if it has to be.
    """

    def __init__(self, bitstream: Path, *, timeout_seconds: float = 10.0) -> None:
        self._pynq = _import_pynq()
        self._timeout_seconds = timeout_seconds
        self._windows: dict[str, _Window] = {}
        self._loaded_constants: np.ndarray | None = None
        try:
            self._overlay = self._pynq.Overlay(str(bitstream))
        except (RuntimeError, OSError, ValueError) as error:
            raise UserError(
                f"bitstream {bitstream} cannot be loaded ({error}); it needs a board and root rights"
            ) from None
        self._name = self._find_accelerator(bitstream)
        self._registers = self._pynq.MMIO(int(self._overlay.ip_dict[self._name]["phys_addr"]), REGISTER_FILE_BYTES)
        self.fingerprint = self._read_fingerprint()
        self._interrupt = self._find_interrupt()

    def _find_accelerator(self, bitstream: Path) -> str:
        """Its name in the block design: the one whose type (vendor:library:name:version) is ours."""
        names = [
            name
            for name, entry in self._overlay.ip_dict.items()
            if str(entry.get("type", "")).split(":")[2:3] == [IP_NAME] and entry.get("phys_addr") is not None
        ]
        if len(names) != 1:
            raise UserError(
                f"bitstream {bitstream} holds {len(names)} blocks of type {IP_NAME} where 1 belongs; "
                f"it has {', '.join(sorted(self._overlay.ip_dict)) or 'none'}; use one that was made from the rtl/ sources of a build"
            )
        return names[0]

    def _find_interrupt(self):
        """The accelerator's interrupt, or None where the design or the system does not deliver it: then STATUS is polled."""
        pins = [pin for pin in self._overlay.interrupt_pins if pin.startswith(f"{self._name}/")]
        if not pins or _loop_is_running():
            return None
        try:
            return _interrupt_loop().run_until_complete(self._make_interrupt(pins[0]))
        except (ValueError, OSError, RuntimeError):
            return None

    async def _make_interrupt(self, pin: str):
        return self._pynq.Interrupt(pin)

    def _read(self, register: str) -> int:
        return int(self._registers.read(BY_NAME[register].offset))

    def _write(self, register: str, value: int) -> None:
        self._registers.write(BY_NAME[register].offset, int(value))  # PYNQ takes Python's int only

    def _read_fingerprint(self) -> str:
        return f"{self._read('FINGERPRINT_HIGH') << 32 | self._read('FINGERPRINT_LOW'):016x}"

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """See spec.executor.Executor. max_cycles: 1 to 2**32 - 1.

        Constants are copied to the board when they change, which for an array that is not writeable means when it is
        another array. MachineFault with TIMEOUT if the machine does not answer in timeout_seconds.
        """
        if self._registers is None:
            raise InternalError("the board executor was closed")
        if self._read_fingerprint() != self.fingerprint:
            raise UserError(
                f"the accelerator was replaced: fingerprint {self._read_fingerprint()} where {self.fingerprint} was loaded; "
                "open the build again"
            )
        try:
            self._place(memory)
            self._start(program, max_cycles)
            self._wait()
        except BaseException:
            self._make_idle()
            raise
        if self._read("STATUS") & STATUS_FAULT:
            raise self._fault()
        self._windows["frame"].read(memory.frame)
        return {name: self._read(f"COUNTER_{name.upper()}") for name, _ in COUNTERS}

    def _place(self, memory: Memory) -> None:
        constants = self._window("constant", memory.constants.size)
        if memory.constants is not self._loaded_constants:
            constants.write(memory.constants)
            self._loaded_constants = None if memory.constants.flags.writeable else memory.constants
        self._window("frame", memory.frame.size).write(memory.frame)

    def _window(self, name: str, size: int) -> _Window:
        """The window of this size; one of another size is freed first."""
        if name in self._windows and self._windows[name].size != size:
            self._free(name)
        if name not in self._windows:
            self._windows[name] = _Window(self._pynq, name, size)
        return self._windows[name]

    def _free(self, name: str) -> None:
        self._windows.pop(name).free()
        if name == "constant":
            self._loaded_constants = None

    def _start(self, program: Program, max_cycles: int) -> None:
        for prefix, name in (("CONSTANT", "constant"), ("FRAME", "frame")):
            window = self._windows[name]
            self._write(f"{prefix}_BASE_LOW", window.address & 0xFFFFFFFF)
            self._write(f"{prefix}_BASE_HIGH", window.address >> 32)
            self._write(f"{prefix}_SIZE", window.size)
        self._write("PROGRAM_OFFSET", program.offset)
        self._write("PROGRAM_SIZE", program.size)
        self._write("MAX_CYCLES", max_cycles)
        self._write("INTERRUPT_STATUS", INTERRUPT_DONE)
        self._write("INTERRUPT_ENABLE", INTERRUPT_DONE if self._interrupt is not None else 0)
        self._write("CONTROL", CONTROL_START)

    def _done(self) -> bool:
        return bool(self._read("STATUS") & STATUS_DONE)

    def _wait(self) -> None:
        """Until done; MachineFault at the deadline."""
        deadline = time.monotonic() + self._timeout_seconds
        if self._interrupt is not None and not _loop_is_running():
            self._await_interrupt()
        while not self._done():
            if time.monotonic() > deadline:
                raise MachineFault(Fault.TIMEOUT, "fetch", 0)
            time.sleep(_POLL_SECONDS)
        self._write("INTERRUPT_STATUS", INTERRUPT_DONE)

    def _await_interrupt(self) -> None:
        """Sleep until the interrupt, for a while: what counts is STATUS, which the caller reads."""
        waiting = asyncio.wait_for(self._interrupt.wait(), min(_INTERRUPT_SECONDS, self._timeout_seconds / 2))
        try:
            _interrupt_loop().run_until_complete(waiting)
        except asyncio.TimeoutError:
            if self._done():  # it got lost; the next one would too
                self._interrupt = None

    def _fault(self) -> MachineFault:
        cause, unit = self._read("FAULT"), self._read("FAULT_UNIT")
        if cause not in set(Fault) or unit >= len(FAULT_UNIT_NAMES):
            raise InternalError(f"the accelerator reports fault {cause} of unit {unit}, which do not exist")
        return MachineFault(Fault(cause), FAULT_UNIT_NAMES[unit], self._read("FAULT_TAG"))

    def _make_idle(self) -> None:
        """Stop a machine that still runs, before its memory is used for anything else: there is no stop but a reload."""
        if self._read("STATUS") & STATUS_BUSY:
            self._overlay.download()
            self._interrupt = self._find_interrupt()  # the old one ended with the old bitstream

    def close(self) -> None:
        """Free the board's memory; closing twice is harmless."""
        if self._registers is None:
            return
        try:
            self._make_idle()
            self._write("INTERRUPT_ENABLE", 0)
        finally:
            for name in tuple(self._windows):
                self._free(name)
            self._interrupt = None
            self._registers = None
            self._overlay = None
