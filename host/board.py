"""The accelerator on a board, driven through PYNQ.

The processor caches the DRAM windows, so it flushes what it has written, and invalidates what it is about to read.
"""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from functools import cache
from pathlib import Path

import numpy as np

from moesaic.errors import InternalError, UserError
from moesaic.host.hwh import accelerator_of
from moesaic.host.interrupt_counts import interrupts_so_far
from moesaic.host.lock import DeviceLock
from moesaic.host.power import rail_power
from moesaic.host.pynq_interface import Interrupt, Overlay, Pynq, import_pynq
from moesaic.spec.executor import WINDOW_ALIGNMENT, Counters, MachineFault, Memory, Program, Progress
from moesaic.spec.isa import Fault
from moesaic.spec.registers import (
    BY_NAME,
    CONTROL_START,
    CONTROL_STOP,
    COUNTERS,
    INTERRUPT_DONE,
    REGISTER_FILE_BYTES,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
)
from moesaic.spec.reported_fault import reported_fault

FRAME_WINDOWS = 2
"""Number of frame windows: while the machine works in one, the next frame is written to the other."""
_POLL_SECONDS = 50e-6
_INTERRUPT_SECONDS = 1.0
_LATE_SECONDS = 0.02
_STOP_SECONDS = 0.1


@cache
def _interrupt_loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the process: PYNQ ties the interrupt lines to the loop in which they are first used."""
    return asyncio.new_event_loop()


def _loop_is_running() -> bool:
    """Whether the caller runs inside an event loop (as a notebook does), where no other loop can run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# Errors end inside the coroutines: a task keeps its error, whose traceback would keep the executor and so the board's memory.


async def _make_interrupt(pynq: Pynq, pin: str) -> Interrupt | None:
    try:
        return pynq.Interrupt(pin)
    except (ValueError, OSError, RuntimeError):
        return None


async def _came_within(interrupt: Interrupt, seconds: float) -> bool:
    try:
        await asyncio.wait_for(interrupt.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


class _Window:
    """A DRAM window that both the processor and the accelerator see.

    PYNQ's arrays must not be touched once they are freed, so none leaves this class.
    """

    def __init__(self, pynq: Pynq, name: str, size: int) -> None:
        try:
            # Larger by one alignment, because nothing promises where a buffer begins.
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

    def write(self, data: np.ndarray, part: slice = slice(None)) -> None:
        """Make `part` of data visible to the accelerator. data: uint8 (size,), as long as the window."""
        self._buffer[self._start : self._start + self.size][part] = data[part]
        self._buffer.flush()

    def read(self, target: np.ndarray, part: slice = slice(None)) -> None:
        """Copy `part` of what the accelerator left into target, uint8 (size,), as long as the window."""
        self._buffer.invalidate()
        target[part] = self._buffer[self._start : self._start + self.size][part]

    def free(self) -> None:
        self._buffer.freebuffer()


_KEPT: list[_Window] = []
"""Windows of machines that could not be stopped, held until the process ends, because PYNQ frees what nobody holds."""


class _Windows:
    """The constant window and FRAME_WINDOWS frame windows, each allocated when first needed and then reused.

    written_by_machine: whether a machine that could not be stopped may still write to them; if so, they are not given back.
    """

    def __init__(self, pynq: Pynq) -> None:
        self.written_by_machine = False
        self._pynq = pynq
        self.constants: _Window | None = None
        self._loaded: np.ndarray | None = None
        self._frames: list[tuple[np.ndarray, _Window]] = []

    def place_constants(self, constants: np.ndarray) -> None:
        """Copy constants to their window, unless it already holds this very array and the array cannot change."""
        if self.constants is not None and self.constants.size != constants.size:
            self.constants.free()
            self.constants = self._loaded = None
        if self.constants is None:
            self.constants = _Window(self._pynq, "constant", constants.size)
        if constants is not self._loaded:
            self.constants.write(constants)
            self._loaded = None if constants.flags.writeable else constants

    def frame(self, frame: np.ndarray) -> _Window | None:
        """The window that belongs to an array, or None."""
        return next((window for array, window in self._frames if array is frame), None)

    def place_frame(self, frame: np.ndarray, part: slice) -> None:
        """Copy a part of an array to its window. A new array is copied whole, to the window that was written longest ago.

        The list is replaced, never changed in place: another thread may be looking up its window there.
        """
        window = self.frame(frame)
        others = [(array, other) for array, other in self._frames if array is not frame]
        if window is None:
            part = slice(None)
            if len(others) == FRAME_WINDOWS:
                window = others.pop(0)[1]
                if window.size != frame.size:
                    self._frames = others
                    window.free()
                    window = None
            window = window or _Window(self._pynq, "frame", frame.size)
        self._frames = [*others, (frame, window)]
        window.write(frame, part)

    def free(self) -> None:
        """Give the memory back; the object can be used again."""
        windows = [window for window in (self.constants, *(window for _, window in self._frames)) if window is not None]
        self.constants = self._loaded = None
        self._frames = []
        if self.written_by_machine:
            _KEPT.extend(windows)
            return
        for window in windows:
            window.free()


def _release(windows: _Windows, lock: DeviceLock) -> None:
    try:
        windows.free()
    finally:
        lock.release()


class BoardExecutor:
    """Executor on a board, see moesaic.spec.executor and, for the separate steps of a run, moesaic.host.phases.

    bitstream: path of the .bit file, with its .hwh beside it; the constructor loads it. timeout_seconds: how long a run may take by
    the processor's clock, apart from the limit in cycles that the machine itself keeps. lock_file: of this device, for tests.

    fingerprint: read from the accelerator, 16 hexadecimal digits. UserError if PYNQ is missing, another process has the board, or
    the bitstream cannot be loaded or holds no accelerator. A run that ends in any way but `done` leaves the machine idle: it is stopped
    through its CONTROL register. One that does not stop (a bitstream from before there was a stop bit, the HLS engine in the middle of
    its run, a bus that hangs) has the bitstream loaded again, and if that fails, a UserError says so and the windows stay allocated.
    Memory and lock are given back by close(), when the object is collected, or when the process ends, whichever comes first.
    """

    def __init__(self, bitstream: Path, *, timeout_seconds: float = 10.0, lock_file: Path | None = None) -> None:
        self._pynq = import_pynq()
        self._timeout_seconds = timeout_seconds
        self._limit = math.inf
        self._bitstream = bitstream
        self._interrupt: Interrupt | None = None
        self._interrupt_sought = False
        self._name = accelerator_of(bitstream.with_suffix(".hwh"))
        lock = DeviceLock(lock_file)
        self._windows = _Windows(self._pynq)
        self._give_back = weakref.finalize(self, _release, self._windows, lock)
        try:
            self._overlay = self._load(bitstream)
            self._registers = self._pynq.MMIO(self._address(bitstream), REGISTER_FILE_BYTES)
            self.fingerprint = self._read_fingerprint()
        except BaseException:
            self._give_back()
            raise

    def _load(self, bitstream: Path) -> Overlay:
        try:
            return self._pynq.Overlay(str(bitstream))
        except Exception as error:  # PYNQ takes files apart without asking whether they are whole
            raise UserError(
                f"bitstream {bitstream} cannot be loaded ({error}); it needs a board, root rights, and the files that Vivado wrote"
            ) from None

    def _address(self, bitstream: Path) -> int:
        """Address of the registers, which PYNQ reads from the same description."""
        entry = self._overlay.ip_dict.get(self._name, {})
        if entry.get("phys_addr") is None:
            raise UserError(
                f"PYNQ gives block {self._name} of bitstream {bitstream} no address; it has "
                f"{', '.join(sorted(self._overlay.ip_dict)) or 'none'}; take the .hwh that Vivado wrote with this bitstream"
            )
        return int(entry["phys_addr"])

    def _usable_interrupt(self) -> Interrupt | None:
        """The accelerator's interrupt, or None if STATUS has to be polled.

        That is so where the design or the system does not deliver the interrupt, or this thread runs inside an event loop. It is
        looked up when first needed, because a board opened inside a loop may be used outside it, too.
        """
        if _loop_is_running():
            return None
        if not self._interrupt_sought:
            self._interrupt_sought = True
            self._interrupt = self._find_interrupt()
        return self._interrupt

    def _find_interrupt(self) -> Interrupt | None:
        pins = [pin for pin in self._overlay.interrupt_pins if pin.startswith(f"{self._name}/")]
        if not pins:
            return None
        return _interrupt_loop().run_until_complete(_make_interrupt(self._pynq, pins[0]))

    def _read(self, register: str) -> int:
        return int(self._registers.read(BY_NAME[register].offset))

    def _write(self, register: str, value: int) -> None:
        self._registers.write(BY_NAME[register].offset, int(value))  # PYNQ takes Python's int only

    def _read_fingerprint(self) -> str:
        return f"{self._read('FINGERPRINT_HIGH') << 32 | self._read('FINGERPRINT_LOW'):016x}"

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """See moesaic.spec.executor.Executor: upload, compute and download, with the whole frame window."""
        self.upload(memory)
        counters = self.compute(program, memory, max_cycles)
        self.download(memory)
        return counters

    def upload(self, memory: Memory, part: slice = slice(None)) -> None:
        """Copy `part` of memory.frame to its window, or all of it if it has no window yet; the machine may work in another window.

        Constants are copied to the board when they change; an array that is not writeable counts as changed only if it is another
        array. The windows of the last FRAME_WINDOWS frames are kept. UserError if there is no memory for a window.
        """
        self._require_open()
        if self._windows.written_by_machine:
            self._make_idle()
        self._windows.place_constants(memory.constants)
        self._windows.place_frame(memory.frame, part)

    def compute(self, program: Program, memory: Memory, max_cycles: int, progress: Progress | None = None) -> Counters:
        """Run a program in the window of an uploaded memory. max_cycles: 1 to 2**32 - 1. progress: see moesaic.spec.executor.Progress.

        MachineFault with TIMEOUT if the machine does not finish within timeout_seconds or by the deadline of limit(). UserError if
        the board now holds another accelerator.
        """
        self._require_open()
        found = self._read_fingerprint()
        if found != self.fingerprint:
            raise UserError(
                f"the accelerator was replaced: fingerprint {found} where {self.fingerprint} was loaded; open the build again"
            )
        constants, frame = self._windows.constants, self._windows.frame(memory.frame)
        if constants is None or frame is None:
            raise InternalError("a memory that was not uploaded")
        interrupt = self._usable_interrupt()
        try:
            self._start(program, constants, frame, max_cycles, INTERRUPT_DONE if interrupt is not None else 0)
            self._wait(interrupt, progress)
        except BaseException as cause:
            self._make_idle(cause)
            raise
        if self._read("STATUS") & STATUS_FAULT:
            raise self._fault()
        return self._counters()

    def download(self, memory: Memory, part: slice = slice(None)) -> None:
        """Copy `part` of the frame window of an uploaded memory to memory.frame; the machine may work in another window."""
        self._require_open()
        frame = self._windows.frame(memory.frame)
        if frame is None:
            raise InternalError("a memory that was not uploaded")
        frame.read(memory.frame, part)

    def read_register(self, offset: int) -> int:
        """The 32-bit control register at a byte offset, see moesaic.spec.registers."""
        self._require_open()
        return int(self._registers.read(offset))

    def write_register(self, offset: int, value: int) -> None:
        """Write the control register at a byte offset while no run is under way; the next run sets those that it needs."""
        self._require_open()
        self._registers.write(offset, value)

    def interrupts(self) -> int | None:
        """Interrupts that have reached the processor so far; None if runs end without one here, or nobody counts them."""
        self._require_open()
        return interrupts_so_far() if self._usable_interrupt() is not None else None

    def limit(self, deadline: float) -> None:
        """Have the current run and later ones give up waiting at `deadline`, a time of time.monotonic() or infinity.

        For a thread that waits for the one that computes.
        """
        self._limit = deadline

    def power(self) -> dict[str, float]:
        """Watts by rail name. UserError if the board shows no rails."""
        return rail_power(self._pynq)

    def _require_open(self) -> None:
        if not self._give_back.alive:
            raise InternalError("the board executor was closed")

    def _start(self, program: Program, constants: _Window, frame: _Window, max_cycles: int, interrupts: int) -> None:
        for prefix, window in (("CONSTANT", constants), ("FRAME", frame)):
            self._write(f"{prefix}_BASE_LOW", window.address & 0xFFFFFFFF)
            self._write(f"{prefix}_BASE_HIGH", window.address >> 32)
            self._write(f"{prefix}_SIZE", window.size)
        self._write("PROGRAM_OFFSET", program.offset)
        self._write("PROGRAM_SIZE", program.size)
        self._write("MAX_CYCLES", max_cycles)
        self._write("INTERRUPT_STATUS", INTERRUPT_DONE)
        self._write("INTERRUPT_ENABLE", interrupts)
        self._write("CONTROL", CONTROL_START)

    def _done(self) -> bool:
        return bool(self._read("STATUS") & STATUS_DONE)

    def _busy(self) -> bool:
        return bool(self._read("STATUS") & STATUS_BUSY)

    def _wait(self, interrupt: Interrupt | None, progress: Progress | None) -> None:
        """Wait until the run is done. MachineFault with TIMEOUT at the deadline. As long as progress is told, registers are polled.

        A wake-up says only that STATUS is worth reading. PYNQ's interrupt controller may still hold what it saw of the run before: a
        level that had not fallen yet when PYNQ acknowledged it, or the end of a run that nobody waited for. PYNQ has acknowledged it
        by the time it wakes us, so an end that STATUS does not show yet wakes the next wait.
        """
        deadline = time.monotonic() + self._timeout_seconds
        while not self._done():
            seconds = min(deadline, self._limit) - time.monotonic()
            if seconds < 0:
                raise MachineFault(Fault.TIMEOUT, "fetch", 0)
            if progress is not None and not progress(self._read("COUNTER_WRITE_BEATS")):
                progress = None
            if interrupt is None or progress is not None:
                time.sleep(_POLL_SECONDS)
            elif (
                not self._await_interrupt(interrupt, seconds)
                and self._done()
                and not self._await_interrupt(interrupt, _LATE_SECONDS)  # the run may have ended since
            ):
                self._interrupt = None  # it got lost; the next one would too
        self._write("INTERRUPT_STATUS", INTERRUPT_DONE)

    def _await_interrupt(self, interrupt: Interrupt, seconds: float) -> bool:
        """Sleep until the interrupt comes, but not for long: STATUS is what counts. Whether it came within that time."""
        loop = _interrupt_loop()
        seconds = min(seconds, _INTERRUPT_SECONDS, self._timeout_seconds / 2)
        waiting = loop.create_task(_came_within(interrupt, seconds))
        try:
            return loop.run_until_complete(waiting)
        except BaseException:
            waiting.cancel()  # or it would take the next run's interrupt
            loop.run_until_complete(asyncio.wait([waiting]))
            raise

    def _fault(self) -> MachineFault:
        return reported_fault(self._read("FAULT"), self._read("FAULT_UNIT"), self._read("FAULT_TAG"), self._counters)

    def _counters(self) -> Counters:
        return {name: self._read(f"COUNTER_{name.upper()}") for name, _ in COUNTERS}

    def _make_idle(self, cause: BaseException | None = None) -> None:
        """Stop the machine before its memory is used for anything else, by loading the bitstream again if nothing else does.

        cause: why it has to stop. UserError, which repeats the cause, if the bitstream cannot be loaded.
        """
        try:
            idle = self._stop()
        except (KeyboardInterrupt, SystemExit):  # nobody wants to wait, but the machine has to stop all the same
            if self._busy():
                self._reload(cause)
            raise
        if idle:
            self._windows.written_by_machine = False
        else:
            self._reload(cause)

    def _stop(self) -> bool:
        """Stop the run, if there is one, and wait until its bursts are over, which takes microseconds. Whether the machine is idle."""
        if not self._busy():
            return True
        self._write("CONTROL", CONTROL_STOP)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._busy():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _reload(self, cause: BaseException | None) -> None:
        try:
            self._overlay.download()
        except BaseException as error:
            self._windows.written_by_machine = True
            if not isinstance(error, Exception):
                raise
            why = f"{str(cause) or type(cause).__name__}; then " if cause is not None else ""
            raise UserError(
                f"{why}bitstream {self._bitstream} could not be loaded again to stop the accelerator, which still runs ({error}); "
                "its memory stays allocated; start the board anew if opening the build again fails, too"
            ) from cause
        self._windows.written_by_machine = False
        self._interrupt, self._interrupt_sought = None, False  # the old one ended with the old bitstream

    def close(self) -> None:
        """Stop the machine, free the board's memory and let others have the board. Closing twice is harmless."""
        if not self._give_back.alive:
            return
        told = self._windows.written_by_machine
        self._windows.written_by_machine = True  # until it is known to be idle
        try:
            self._make_idle()
            self._write("INTERRUPT_ENABLE", 0)
        except UserError:
            if not told:  # otherwise it would hide the error that says why
                raise
        finally:
            self._give_back()
            self._interrupt = None
            del self._registers, self._overlay
