"""A stand-in for the package pynq: a board whose accelerator is an executor behind the real register map.

The executor is the reference machine or the emulator (csim); tests/host/rtl_board.py puts the registers of the simulated RTL here.

DRAM and the processor's cache are two arrays: only flush() and invalidate() carry data between them, as on a board, so a
driver that forgets one computes with old data here too. Registers obey their access kinds.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from moesaic.spec.executor import WINDOW_ALIGNMENT, Executor, MachineFault, Memory, Program
from moesaic.spec.isa import FAULT_UNIT_NAMES, Fault
from moesaic.spec.registers import (
    CONTROL_START,
    CONTROL_STOP,
    COUNTER_BASE,
    COUNTERS,
    INTERRUPT_DONE,
    REGISTER_FILE_BYTES,
    REGISTERS,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
    STATUS_STOPPED,
)
from tests.host.interrupt_controller import (
    ACKNOWLEDGE,
    CLEAR_ENABLE,
    MASTER_ENABLE,
    SET_ENABLE,
    InterruptController,
    is_edge_triggered,
)

CYCLES_PER_INSTRUCTION = 100
REGISTERS_ADDRESS = 0xA000_0000
_DRAM_START = 0x8_4000_0040  # above 4 GiB and on no page boundary: the driver has to cope with both
_BY_OFFSET = {register.offset: register for register in REGISTERS}


class Buffer(np.ndarray):
    """What allocate returns: the processor's view of a piece of DRAM, with PYNQ's attributes."""

    def flush(self) -> None:
        self.board.check_alive(self)
        self.board.dram[self.physical_address][:] = np.asarray(self)
        self.flushes += 1

    def invalidate(self) -> None:
        self.board.check_alive(self)
        np.asarray(self)[:] = self.board.dram[self.physical_address]

    def freebuffer(self) -> None:
        self.board.check_alive(self)
        self.board.release(self.physical_address)


@dataclass
class Board:
    """The hardware and its faults.

    polls: reads of STATUS until a run is done. ignores_stop: as a bitstream from before CONTROL had a stop bit. hangs: a run never
    ends and ignores MAX_CYCLES and the stop, until the bitstream is loaded again. reload_error: what Overlay.download raises, with the
    machine left as it is. fault: what the next run ends with.
    allocations_left: allocate fails after so many; None means never. interrupts: the design connects the interrupt;
    lose_interrupts: it never arrives. on_poll: called at every read of STATUS. rails: what get_rails returns.
    devices: what PYNQ finds.
    """

    machine: Executor
    polls: int = 3
    ignores_stop: bool = False
    hangs: bool = False
    allocations_left: int | None = None
    interrupts: bool = False
    lose_interrupts: bool = False
    fault: MachineFault | None = None
    reload_error: Exception | None = None
    rails: dict[str, object] = field(default_factory=dict)
    devices: list[str] = field(default_factory=lambda: ["xczu7ev"])
    on_poll: Callable[[], None] | None = None
    registers: dict[int, int] = field(default_factory=dict)
    dram: dict[int, np.ndarray] = field(default_factory=dict)
    buffers: list[int] = field(default_factory=list)
    flushed: list[Buffer] = field(default_factory=list)
    downloads: int = 0
    status_reads: int = 0
    stops: int = 0
    starts: int = 0
    waits: int = 0
    waiting: bool = False
    busy: bool = False
    controller: InterruptController = field(default_factory=InterruptController)
    _polls_left: int = 0
    _next_address: int = _DRAM_START

    def check_alive(self, buffer: Buffer) -> None:
        assert buffer.physical_address in self.dram, "buffer used after it was freed"

    def download(self) -> None:
        """A new bitstream: registers at their reset values, nothing running."""
        self.downloads += 1
        self.busy = self.hangs = self.waiting = False
        self.controller.reset()
        self.registers = dict.fromkeys(_BY_OFFSET, 0)
        fingerprint = int(self.machine.fingerprint, 16)
        self.registers[0x020], self.registers[0x024] = fingerprint & 0xFFFFFFFF, fingerprint >> 32

    def allocate(self, size: int) -> Buffer:
        buffer = np.full(size, 0x5A, np.uint8).view(Buffer)
        buffer.board, buffer.physical_address, buffer.flushes = self, self.reserve(size), 0
        self.flushed.append(buffer)
        return buffer

    def reserve(self, size: int) -> int:
        """The address of so many bytes of DRAM."""
        if self.allocations_left is not None:
            if self.allocations_left == 0:
                raise RuntimeError("Failed to allocate Memory!")
            self.allocations_left -= 1
        address = self._next_address
        self.dram[address] = self._new_memory(size)
        self.buffers.append(address)
        self._next_address += (size + 0xFFF) & ~0xFFF
        return address

    def release(self, address: int) -> None:
        assert not self.busy, "memory freed under a running accelerator"
        del self.dram[address]
        self.buffers.remove(address)

    def _new_memory(self, size: int) -> np.ndarray:
        return np.full(size, 0xC3, np.uint8)

    def read(self, offset: int) -> int:
        register = _BY_OFFSET[offset]
        if register.name == "STATUS":
            self.status_reads += 1
            self._poll()
        return self.registers[offset]

    def write(self, offset: int, value: int) -> None:
        register = _BY_OFFSET[offset]
        if register.access == "w1c":
            self.registers[offset] &= ~value
        elif register.name == "CONTROL":
            if value & CONTROL_START and not self.busy:
                self._start()
            if value & CONTROL_STOP and self.busy:
                self._stop()
        elif register.access == "rw":
            self.registers[offset] = value & register.writable
        self._settle()

    def _settle(self) -> None:
        """Show the interrupt controller the level of irq."""
        raised = bool(self._named("INTERRUPT_ENABLE") & self._named("INTERRUPT_STATUS"))
        self.controller.input(raised and not self.lose_interrupts)

    def _named(self, name: str) -> int:
        return self.registers[next(r.offset for r in REGISTERS if r.name == name)]

    def _set(self, name: str, value: int) -> None:
        self.registers[next(r.offset for r in REGISTERS if r.name == name)] = value

    def _start(self) -> None:
        self.starts += 1
        self.busy = True
        self._polls_left = self.polls
        for name in ("FAULT", "FAULT_UNIT", "FAULT_TAG"):
            self._set(name, 0)
        self._set("STATUS", STATUS_BUSY)

    def _stop(self) -> None:
        self.stops += 1
        if not (self.ignores_stop or self.hangs):
            self._end(STATUS_DONE | STATUS_STOPPED)

    def _poll(self) -> None:
        if self.on_poll is not None:
            self.on_poll()
        if not self.busy or self.hangs:
            return
        self._polls_left -= 1
        if self._polls_left <= 0:
            self._finish()

    def _window(self, prefix: str) -> np.ndarray:
        address = self._named(f"{prefix}_BASE_HIGH") << 32 | self._named(f"{prefix}_BASE_LOW")
        size = self._named(f"{prefix}_SIZE")
        assert address % WINDOW_ALIGNMENT == 0, "a window must begin on a page"
        for start, memory in self.dram.items():
            if start <= address and address + size <= start + len(memory):
                return memory[address - start : address - start + size]
        raise AssertionError(f"{prefix} window {address:#x} + {size} is in no buffer")

    def _finish(self) -> None:
        """Run the program in DRAM and leave the registers as hardware does."""
        memory = Memory(self._window("CONSTANT"), self._window("FRAME"))
        program = Program(self._named("PROGRAM_OFFSET"), self._named("PROGRAM_SIZE"))
        status = STATUS_DONE
        try:
            if self.fault is not None:
                fault, self.fault = self.fault, None
                raise fault
            counters = self.machine.run(program, memory, self._named("MAX_CYCLES"))
            cycles = CYCLES_PER_INSTRUCTION * counters["instructions"]
            if 0 < self._named("MAX_CYCLES") < cycles:
                raise MachineFault(Fault.TIMEOUT, "fetch", 0)
            for index, (name, _) in enumerate(COUNTERS):
                self.registers[COUNTER_BASE + 4 * index] = {"cycles": cycles, **counters}.get(name, 0)
        except MachineFault as fault:
            status |= STATUS_FAULT
            self._set("FAULT", int(fault.cause))
            self._set("FAULT_UNIT", FAULT_UNIT_NAMES.index(fault.unit))
            self._set("FAULT_TAG", fault.tag)
        self._end(status)

    def _end(self, status: int) -> None:
        self._set("STATUS", status)
        self._set("INTERRUPT_STATUS", INTERRUPT_DONE)
        self.busy = False
        self._settle()

    def pass_time(self) -> None:
        """Nobody reads registers while the processor waits for an interrupt, but the machine goes on."""
        if self.busy and not self.hangs:
            self._finish()

    async def wait_for_interrupt(self) -> None:
        """What PYNQ does with the controller for a wait: enable, and at the interrupt disable and acknowledge.

        A wait that is cancelled leaves it enabled, and the next one goes on waiting for that.
        """
        if not self.waiting:
            self.waits += 1
            self.waiting = True
            self.controller.write(SET_ENABLE, 1)
            self.controller.write(MASTER_ENABLE, 3)
        while not self.controller.irq():
            await asyncio.sleep(0)
            self.pass_time()
        self.waiting = False
        self.controller.write(CLEAR_ENABLE, 1)
        self.controller.write(ACKNOWLEDGE, 1)


def interrupt_pins(description: ElementTree.Element) -> dict[str, dict]:
    """The pins behind an interrupt controller that drives the processor, found by the names of nets, as PYNQ finds them."""
    pins = {
        f"{module.get('FULLNAME').lstrip('/')}/{port.get('NAME')}": port.get("SIGNAME")
        for module in description.iter("MODULE")
        for port in module.iter("PORT")
    }
    controllers = [
        module.get("FULLNAME").lstrip("/")
        for module in description.iter("MODULE")
        if module.get("MODTYPE") == "axi_intc"
    ]
    return {
        pin: {"controller": name, "index": 0}
        for name in controllers
        if pins[f"{name}/irq"] == pins["ps/pl_ps_irq0"]
        for pin, net in pins.items()
        if net == pins[f"{name}/intr"]
    }


def _registers_of(module: ElementTree.Element) -> dict[str, dict]:
    """With every property that PYNQ looks up; one that is missing is an error here, too."""
    return {
        register.get("NAME"): {
            name: register.find(f"./PROPERTY[@NAME='{name.upper()}']").get("VALUE")
            for name in ("address_offset", "size", "access", "description")
        }
        for register in module.findall(".//REGISTERS/*[@NAME]")
    }


def make_module(board: Board) -> types.ModuleType:
    """The module to put into sys.modules as `pynq`."""

    class Devices:
        """Looked for when first asked for, in vain for good if the thread that asks has no event loop, as in PYNQ."""

        found: list[str] | None = None

        @property
        def devices(self) -> list[str]:
            if self.found is None:
                self.found = []
                self.loop = asyncio.get_event_loop()
                self.found = list(board.devices)
            return self.found

    found = Devices()

    class Overlay:
        def __init__(self, bitfile_name: str) -> None:
            if not found.devices:
                raise RuntimeError("No Devices Found")
            if not Path(bitfile_name).is_file() or not Path(bitfile_name).with_suffix(".hwh").is_file():
                raise OSError(f"Bitstream file {bitfile_name} does not exist.")
            if not Path(bitfile_name).read_bytes():
                raise RuntimeError("Invalid length found")
            description = ElementTree.parse(Path(bitfile_name).with_suffix(".hwh"))
            modules = {module.get("INSTANCE"): module for module in description.iter("MODULE")}
            self.ip_dict = {
                name: {"type": module.get("VLNV"), "registers": _registers_of(module)}
                for name, module in modules.items()
            }
            for entry in description.iter("MEMRANGE"):
                self.ip_dict[entry.get("INSTANCE")]["phys_addr"] = int(entry.get("BASEVALUE"), 16)
            self.interrupt_pins = interrupt_pins(description.getroot()) if board.interrupts else {}
            board.controller.edge = is_edge_triggered(description.getroot())
            board.download()

        def download(self) -> None:
            if board.reload_error is not None:
                raise board.reload_error
            board.download()

    class MMIO:
        def __init__(self, base_addr: int, length: int = 4) -> None:
            assert (base_addr, length) == (REGISTERS_ADDRESS, REGISTER_FILE_BYTES)

        def read(self, offset: int = 0, length: int = 4) -> int:
            return board.read(offset)

        def write(self, offset: int, data: int) -> None:
            if type(data) is not int:
                raise ValueError("Data type must be int or bytes.")
            assert 0 <= data < 1 << 32
            board.write(offset, data)

    class Interrupt:
        def __init__(self, pinname: str) -> None:
            assert pinname == "accelerator/irq"
            asyncio.get_running_loop()
            self.download = board.downloads

        async def wait(self) -> None:
            assert self.download == board.downloads, "interrupt of an earlier bitstream"
            await board.wait_for_interrupt()

    def allocate(shape: tuple[int, ...], dtype: object = "u4", cacheable: bool = False) -> Buffer:
        assert np.dtype(dtype) == np.uint8
        return board.allocate(*shape)

    module = types.ModuleType("pynq")
    module.__spec__ = importlib.machinery.ModuleSpec("pynq", None)
    module.Overlay, module.MMIO, module.Interrupt, module.allocate = Overlay, MMIO, Interrupt, allocate
    module.get_rails = lambda: board.rails
    module.Device = found
    return module
