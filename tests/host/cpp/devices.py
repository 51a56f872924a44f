"""Devices for the C++ runtime: fake device files, and what stands at the other end of the driver's sockets."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.build import Build
from moesaic.spec.executor import WINDOW_ALIGNMENT
from moesaic.spec.isa import Space
from moesaic.spec.registers import (
    BY_NAME,
    CONTROL_START,
    CONTROL_STOP,
    INTERRUPT_DONE,
    REGISTERS,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
    STATUS_STOPPED,
)

PHYSICAL_ADDRESS = 0x8_4000_0000
_NAMES = {register.offset: register.name for register in REGISTERS}


def needed(build: Build) -> int:
    """Bytes of memory that a build needs."""
    return build.constants.size + -build.constants.size % WINDOW_ALIGNMENT + build.frame_bytes


class FakeFiles:
    """Files in place of /dev/uio0, /dev/udmabuf0 and their folders in /sys/class."""

    def __init__(
        self, root: Path, memory_bytes: int, physical_address: int = PHYSICAL_ADDRESS, coherent: int = 0
    ) -> None:
        self.uio, self.udmabuf, self.sys_class = root / "uio0", root / "udmabuf0", root / "class"
        self.maps = self.sys_class / "uio" / "uio0" / "maps" / "map0"
        self.attributes = self.sys_class / "u-dma-buf" / "udmabuf0"
        self.lock_file = root / "lock"
        self.maps.mkdir(parents=True)
        self.attributes.mkdir(parents=True)
        self.uio.write_bytes(bytes(8192))
        (self.maps / "offset").write_text("0x0\n")
        (self.maps / "size").write_text("0x0000000000001000\n")
        self.udmabuf.write_bytes(b"\xc3" * memory_bytes)
        (self.attributes / "size").write_text(f"{memory_bytes}\n")
        (self.attributes / "phys_addr").write_text(f"0x{physical_address:016x}\n")
        (self.attributes / "dma_coherent").write_text(f"{coherent}\n")
        for name in ("sync_for_cpu", "sync_for_device"):
            (self.attributes / name).write_text("")

    def __str__(self) -> str:
        """The words that the driver's command uio takes."""
        return f"{self.uio} {self.udmabuf} {self.sys_class} {self.lock_file}"


class Model(Protocol):
    """An accelerator's registers, and its interrupt line."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...

    def interrupt(self) -> bool:
        """Whether the line is up; on a simulation, after some cycles more."""
        ...


class Bridge:
    """Serves the driver's sockets: registers of a model, and its interrupt as UIO shows it.

    As generic-uio does, the kernel's side masks the interrupt when it comes and counts it, until the driver writes 1; the line is level
    sensitive, so one that is still up comes again. lose: no interrupt arrives.
    extra: so many interrupts that nobody raised come before the real one.
    """

    def __init__(self, model: Model, *, interrupts: bool = True, lose: bool = False, extra: int = 0) -> None:
        self.model, self.lose, self.extra = model, lose, extra
        self.delivered = 0
        self._ended = threading.Event()
        ours, self.registers = socket.socketpair()
        threads = [threading.Thread(target=self._serve, args=(ours,))]
        self.interrupt = None
        if interrupts:
            line, self.interrupt = socket.socketpair()
            threads.append(threading.Thread(target=self._serve_interrupt, args=(line,)))
        self._threads = threads
        for thread in threads:
            thread.start()

    @property
    def descriptors(self) -> tuple[int, int]:
        """Of registers and interrupt, for the driver; -1 without an interrupt."""
        return self.registers.fileno(), self.interrupt.fileno() if self.interrupt is not None else -1

    def handed_over(self) -> None:
        """The driver has the descriptors: when it closes them, the bridge ends."""
        self.registers.close()
        if self.interrupt is not None:
            self.interrupt.close()

    def join(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while len(message := connection.recv(12, socket.MSG_WAITALL)) == 12:
                kind, offset, value = struct.unpack("=III", message)
                answer = 0
                if kind == 0:
                    answer = self.model.read(offset)
                else:
                    self.model.write(offset, value)
                connection.sendall(struct.pack("=I", answer))
        self._ended.set()

    def _serve_interrupt(self, line: socket.socket) -> None:
        with line:
            while not self._ended.is_set():
                if _let_through(line, 0.1):
                    self._deliver(line)

    def _deliver(self, line: socket.socket) -> None:
        """Wait for the line and tell the driver."""
        if self.extra:
            self.extra -= 1
        else:
            while self.lose or not self.model.interrupt():
                if self._ended.wait(0.001):
                    return
        self.delivered += 1
        while _let_through(line, 0):
            pass  # letting through what is let through already changes nothing
        with contextlib.suppress(ConnectionError):
            line.sendall(struct.pack("=I", self.delivered))


def _let_through(line: socket.socket, seconds: float) -> bool:
    """Whether the driver writes within some time that an interrupt may come."""
    if not select.select([line], [], [], seconds)[0]:
        return False
    try:
        message = line.recv(4, socket.MSG_WAITALL)
    except ConnectionError:
        return False
    assert message in (b"", struct.pack("=I", 1))
    return bool(message)


class Registers:
    """A register file without a machine: a test says how a run goes.

    polls: reads of STATUS until a run ends; None for a run that never does. stops: whether CONTROL's stop bit ends a run. fault: what a
    run ends with, as (cause, unit, tag). writes: (name, value) of all writes, in order.
    """

    def __init__(
        self, fingerprint: str, *, polls: int | None = 2, stops: bool = True, fault: tuple[int, int, int] | None = None
    ) -> None:
        self.polls, self.stops, self.fault = polls, stops, fault
        self.values = dict.fromkeys(_NAMES.values(), 0)
        number = int(fingerprint, 16)
        self.values |= {"FINGERPRINT_LOW": number & 0xFFFFFFFF, "FINGERPRINT_HIGH": number >> 32}
        self.writes: list[tuple[str, int]] = []
        self.on_start: Callable[[], None] | None = None
        self._left = 0

    def start(self) -> None:
        self.values |= {"STATUS": STATUS_BUSY, "FAULT": 0}
        self._left = self.polls or 0
        if self.on_start is not None:
            self.on_start()

    def end(self, status: int = 0) -> None:
        if self.fault is not None:
            self.values |= dict(zip(("FAULT", "FAULT_UNIT", "FAULT_TAG"), self.fault, strict=True))
            status |= STATUS_FAULT
        self.values |= {"STATUS": STATUS_DONE | status, "INTERRUPT_STATUS": INTERRUPT_DONE}

    def pass_time(self) -> None:
        if self.values["STATUS"] & STATUS_BUSY and self.polls is not None:
            self._left -= 1
            if self._left <= 0:
                self.end()

    def read(self, offset: int) -> int:
        if _NAMES[offset] == "STATUS":
            self.pass_time()
        return self.values[_NAMES[offset]]

    def write(self, offset: int, value: int) -> None:
        name = _NAMES[offset]
        self.writes.append((name, value))
        if name == "INTERRUPT_STATUS":
            self.values[name] &= ~value
        elif name == "CONTROL":
            busy = self.values["STATUS"] & STATUS_BUSY
            if value & CONTROL_START and not busy:
                self.start()
            if value & CONTROL_STOP and busy and self.stops:
                self.end(STATUS_STOPPED)
        else:
            assert BY_NAME[name].access == "rw", name
            self.values[name] = value

    def interrupt(self) -> bool:
        self.pass_time()
        return bool(self.values["INTERRUPT_STATUS"] & self.values["INTERRUPT_ENABLE"])


class Rtl:
    """The simulated RTL: each access is one on its AXI4-Lite port, and its DRAM is the file of the u-dma-buf device.

    Time stands still between accesses, so a read of STATUS lets some pass first, as it passes on a board between two polls.
    """

    CYCLES = 4_000

    def __init__(self, executor: RtlExecutor, files: FakeFiles) -> None:
        self._executor = executor
        executor.map_memory(Space.CONSTANT, PHYSICAL_ADDRESS, files.udmabuf, files.udmabuf.stat().st_size)
        self.starts = self.stops = 0
        self.polls = 0

    def read(self, offset: int) -> int:
        if offset == BY_NAME["STATUS"].offset:
            self.polls += 1
            self._executor.advance(self.CYCLES)
        return self._executor.read_register(offset)

    def write(self, offset: int, value: int) -> None:
        if offset == BY_NAME["CONTROL"].offset:
            self.starts += bool(value & CONTROL_START)
            self.stops += bool(value & CONTROL_STOP)
        self._executor.write_register(offset, value)

    def interrupt(self) -> bool:
        return self._executor.advance(self.CYCLES)


def synchronised(files: FakeFiles, name: str) -> tuple[int, int, int]:
    """(offset, bytes, flags) of what the runtime last wrote to a sync attribute of u-dma-buf."""
    number = int((files.attributes / name).read_text().split("\n")[0], 16)
    return number >> 32, number & 0xFFFFFFF0, number & 15


def window(files: FakeFiles, offset: int, size: int) -> np.ndarray:
    """Bytes of the memory."""
    return np.fromfile(files.udmabuf, np.uint8, size, offset=offset)
