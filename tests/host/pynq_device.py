"""What lies below the package pynq on a board: XRT, the FPGA manager, UIO, the processor's registers. PYNQ itself is the real one.

Of PYNQ 4.0 everything runs that a driver touches (Overlay, MMIO, allocate, Interrupt, the metadata reader, asyncio); only what it
asks of the system is answered here, by the Board of mock_pynq. The names are those that PYNQ asks for, in these files of Xilinx/PYNQ
4.0.0: pynq/pl_server/embedded_device.py (FPGA manager, /dev/mem, xclbinutil), pynq/pl_server/xrt_device.py (pyxrt),
pynq/pl_server/global_state.py (state of the FPGA manager), pynq/interrupt.py and pynq/uio.py (/proc/interrupts, UIO), pynq/ps.py (what
tells a board). pyxrt's own are in Xilinx/XRT, src/python/pybind11/pyxrt.pyi. What a UIO device does with reads and writes is in the
Linux kernel's Documentation/driver-api/uio-howto.rst and drivers/uio/uio_pdrv_genirq.c.

Environment: `make test-host-pynq`.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import ctypes
import importlib
import io
import mmap
import os
import platform
import select
import socket
import sys
import threading
import types
from dataclasses import dataclass
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from tests.host.interrupt_controller import SET_ENABLE
from tests.host.mock_pynq import REGISTERS_ADDRESS, Board

INSTALLED = find_spec("pynq") is not None
"""Whether the real package is there, which must be found out before a mock takes its name."""
CONTROLLER_ADDRESS = 0xA001_0000
_IRQ = 121
"""Number of pl_ps_irq0[0] of a Zynq UltraScale+ at its interrupt controller (AMD UG1085), as /proc/interrupts shows it."""
_MACHINE = "aarch64"
_BOARD_MARK = "/proc/device-tree/chosen/pynq_board"
_MANAGER = "/sys/class/fpga_manager/fpga0"
_PROCESSOR_REGISTERS = {0xFF5E_0000: {0x20: 45 << 8, 0xC0: 0x0101_0F00}}
"""Of the clocks' registers, by page and offset, what PYNQ reads before it writes: the IO PLL's factor and the clock of the fabric."""


@dataclass
class Allocation:
    """A buffer as Board.flushed lists it. size: bytes. flushes: how often its cache was written to DRAM."""

    size: int
    flushes: int = 0


class _Registers:
    """A mapped range of the accelerator's or the interrupt controller's registers, indexed by word as PYNQ indexes an array."""

    def __init__(self, device: Device, base: int) -> None:
        self._device, self._base = device, base

    def __getitem__(self, word: int) -> int:
        with self._device.lock:
            board = self._device.board
            target = board if self._base == REGISTERS_ADDRESS else board.controller
            return target.read(4 * word)

    def __setitem__(self, word: int, value: np.uint32) -> None:
        assert type(value) is np.uint32
        with self._device.lock:
            board = self._device.board
            if self._base == REGISTERS_ADDRESS:
                board.write(4 * word, int(value))
            else:
                board.waits += 4 * word == SET_ENABLE
                board.controller.write(4 * word, int(value))


class Device:
    """The system around a board. directory: for its files."""

    def __init__(self, board: Board, directory: Path) -> None:
        self.board, self.directory = board, directory
        self.lock = threading.RLock()
        self._pages: dict[int, np.ndarray] = {}
        self._kernel, self._user = socket.socketpair()
        self._thread = threading.Thread(target=self._serve_uio, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._kernel.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._kernel.close()
        self._user.close()

    def map_registers(self, address: int, length: int) -> object:
        """EmbeddedDevice.mmap: what /dev/mem shows."""
        if address in (REGISTERS_ADDRESS, CONTROLLER_ADDRESS):
            return _Registers(self, address)
        page = address & ~0xFFFF
        if page not in self._pages:
            self._pages[page] = np.zeros(0x4000, np.uint32)
            for offset, value in _PROCESSOR_REGISTERS.get(page, {}).items():
                self._pages[page][offset // 4] = value
        return self._pages[page][(address - page) // 4 :][: length // 4]

    def open(self, path: str, *arguments: object, **options: object) -> object:
        """open() for the files of the system."""
        if path == "/dev/uio0":
            return os.fdopen(os.dup(self._user.fileno()), *arguments, **options)
        if path == f"{_MANAGER}/firmware":
            return _Firmware(self)
        if path == "/proc/interrupts":
            line = f" 50: 0 0 0 0 GICv2 {_IRQ} Level fabric\n"
            return io.StringIO(line if self.board.interrupts else "")
        if path == "/sys/class/uio/uio0/name":
            return io.StringIO("fabric\n")
        if path == f"{_MANAGER}/state":
            return io.StringIO("operating\n")
        if path == f"{_MANAGER}/flags":
            return io.StringIO("0\n")
        if path.startswith("/lib/firmware/"):
            return _OPEN(self.directory / Path(path).name, *arguments, **options)
        raise FileNotFoundError(path)

    def load(self) -> None:
        """The FPGA manager's load: what was asked for lies in /lib/firmware."""
        with self.lock:
            if self.board.reload_error is not None:
                raise self.board.reload_error
            self.board.download()

    def _serve_uio(self) -> None:
        """A UIO device: a write enables the interrupt once, a read gets the count of those so far. Meanwhile the machine goes on."""
        enabled, count = False, 0
        while True:
            readable, _, _ = select.select([self._kernel], [], [], 0.001 if enabled else None)
            if readable:
                word = self._kernel.recv(4)
                if not word:
                    return
                enabled = any(word)
            if enabled:
                with self.lock:
                    if self.board.controller.irq():
                        enabled, count = False, count + 1
                        self._kernel.send(count.to_bytes(4, "little"))
                    else:
                        self.board.pass_time()


class _Firmware(io.StringIO):
    """The file of the FPGA manager: writing the name of a file loads it."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def write(self, name: str) -> int:
        assert (self._device.directory / name).read_bytes(), "an empty bitstream"
        self._device.load()
        return super().write(name)


_FORMER: list[object] = []
"""UIO devices of earlier tests, which PYNQ keeps open to the end of the process, and then looks for an event loop."""
atexit.register(lambda: asyncio.set_event_loop(asyncio.new_event_loop()))
_OPEN = builtins.open
_LISTDIR = os.listdir
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def _pyxrt(device: Device) -> types.ModuleType:
    """XRT's Python module: buffer objects, whose mapping is the processor's view of DRAM through its cache."""
    module = types.ModuleType("pyxrt")

    class Direction(IntEnum):
        XCL_BO_SYNC_BO_TO_DEVICE = 0
        XCL_BO_SYNC_BO_FROM_DEVICE = 1

    class Handle:
        def __init__(self, index: int) -> None:
            assert index == 0

        def get_info(self, key: str) -> str:
            return "edge" if key == "name" else ""

        def load_xclbin(self, path: str) -> None:
            assert Path(path).read_bytes()[:7] == b"xclbin2"

    class Flags(IntEnum):
        normal = 0
        cacheable = 1 << 24

    class Buffer:
        flags = Flags

        def __init__(self, handle: Handle, size: int, flags: Flags, group: int) -> None:
            assert flags == Flags.cacheable, "the driver says that it keeps the caches right"
            self._size, self._board, self._address = size, device.board, None
            with device.lock:
                self._address = self._board.reserve(size)
            self._allocation = Allocation(size)
            self._board.flushed.append(self._allocation)
            # PYNQ unmaps it by munmap, so nobody else may.
            start = _libc.mmap(
                None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
            )
            self._host = np.frombuffer((ctypes.c_uint8 * size).from_address(start), np.uint8)
            self._host[:] = 0x5A

        def map(self) -> memoryview:
            return memoryview(self._host)

        def size(self) -> int:
            return self._size

        def address(self) -> int:
            return self._address

        def sync(self, direction: Direction) -> None:
            with device.lock:
                memory = self._board.dram[self._address]
                if direction == Direction.XCL_BO_SYNC_BO_TO_DEVICE:
                    memory[:] = self._host
                    self._allocation.flushes += 1
                else:
                    self._host[:] = memory

        def __del__(self) -> None:
            if sys.is_finalizing():
                return
            with device.lock:
                if self._address in self._board.dram:
                    self._board.release(self._address)

    module.device, module.bo, module.xclBOSyncDirection = Handle, Buffer, Direction
    keys = (
        "bdf dynamic_regions electrical host m2m max_clock_frequency_mhz mechanical memory name pcie_info thermal vmr"
    )
    module.xrt_info_device = types.SimpleNamespace(**{key: key for key in keys.split()})
    return module


XCLBINUTIL = """#!{python}
import json, pathlib, sys
(memory,) = json.loads(pathlib.Path("mem.json").read_text())["mem_topology"]["m_mem_data"]
assert (memory["m_tag"], memory["m_base_address"]) == ("PSDDR", 0)
target = sys.argv[sys.argv.index("--output") + 1]
pathlib.Path(target).write_bytes(pathlib.Path({default!r}).read_bytes())
"""
"""XRT's tool, which PYNQ runs to describe the memories of a design. Ours has DDR alone, as the file that comes with PYNQ."""


def _import(device: Device) -> types.ModuleType:
    """The package, as it comes up on a board."""
    is_file = os.path.isfile
    with (
        patch.dict(os.environ, {"XILINX_XRT": "/usr"}),
        patch.object(platform, "machine", lambda: _MACHINE),
        patch.object(os.path, "isfile", lambda path: path == _BOARD_MARK or is_file(path)),
    ):
        return importlib.import_module("pynq")


def install(board: Board, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Put a board below the real package pynq, as if the process had just begun."""
    directory.mkdir()
    device = Device(board, directory)
    pyxrt = _pyxrt(device)
    monkeypatch.setitem(sys.modules, "pyxrt", pyxrt)
    pynq = _import(device)
    embedded = importlib.import_module("pynq.pl_server.embedded_device")
    xrt = importlib.import_module("pynq.pl_server.xrt_device")
    interrupt = importlib.import_module("pynq.interrupt")
    monkeypatch.setattr(xrt, "pyxrt", pyxrt)
    state = importlib.import_module("pynq.pl_server.global_state")
    monkeypatch.setattr(state, "STATE_DIR", str(directory))

    tools = directory / "bin"
    tools.mkdir()
    default = Path(embedded.__file__).with_name("default.xclbin")
    (tools / "xclbinutil").write_text(XCLBINUTIL.format(python=sys.executable, default=str(default)))
    (tools / "xclbinutil").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.chdir(directory)  # PYNQ leaves loaded.xclbin where it is called

    def redirected(path: object, *arguments: object, **options: object) -> object:
        name = os.fspath(path) if isinstance(path, (str, Path)) else ""
        if name.startswith(("/dev/uio", "/sys/class/", "/lib/firmware/", "/proc/interrupts", "/proc/device-tree/")):
            return device.open(name, *arguments, **options)
        return _OPEN(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", redirected)
    monkeypatch.setattr(io, "open", redirected)
    monkeypatch.setattr(os, "listdir", lambda path=".": ["uio0"] if path == "/sys/class/uio" else _LISTDIR(path))
    monkeypatch.setattr(
        embedded.EmbeddedDevice, "_probe_", classmethod(lambda cls: [_embedded(cls)] if board.devices else [])
    )
    monkeypatch.setattr(
        embedded.EmbeddedDevice, "mmap", lambda self, address, length: device.map_registers(address, length)
    )
    for name in ("_devices", "_active_device"):
        if name in vars(pynq.Device):
            delattr(pynq.Device, name)
    controllers = interrupt._InterruptController
    controllers._controllers.clear()
    _FORMER.append(dict(controllers._uio_devices))
    controllers._uio_devices.clear()
    controllers._last_timestamp = None
    return device


def _embedded(kind: type) -> object:
    found = kind()
    found.arch = _MACHINE
    return found
