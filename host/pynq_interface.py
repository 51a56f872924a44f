"""The parts of PYNQ that the runtime uses, as interfaces, and PYNQ itself where it is installed.

An Overlay is a bitstream with its description, MMIO a range of registers, an array from `allocate` contiguous DRAM that the
processor caches, and an Interrupt a line of the overlay's interrupt controller.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from moesaic.errors import UserError
from moesaic.installation import how_to_get_pynq


class Overlay(Protocol):
    """A bitstream with its description. ip_dict: name of each block to what the description says about it.

    interrupt_pins: by name, such as block/pin. download loads the bitstream again.
    """

    ip_dict: Mapping[str, Mapping[str, Any]]
    interrupt_pins: Mapping[str, Any]

    def download(self) -> None: ...


class Registers(Protocol):
    """32-bit registers, addressed by their offset in bytes."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class Buffer(Protocol):
    """An array of uint8 that the accelerator sees as well, at physical_address (bytes).

    flush writes the processor's cache to DRAM, invalidate drops it, freebuffer gives the memory back.
    """

    physical_address: int

    def __getitem__(self, part: slice) -> np.ndarray: ...

    def flush(self) -> None: ...

    def invalidate(self) -> None: ...

    def freebuffer(self) -> None: ...


class Interrupt(Protocol):
    """A line that can be waited for."""

    async def wait(self) -> None: ...


class Sensor(Protocol):
    """value: in volts, amperes or watts."""

    value: float


class Rail(Protocol):
    """A power rail. power, voltage, current: its sensors, None where it has none."""

    power: Sensor | None
    voltage: Sensor | None
    current: Sensor | None


@runtime_checkable
class RailSource(Protocol):
    """What can report the board's power rails; not the PYNQ of every image can."""

    def get_rails(self) -> Mapping[str, Rail]: ...


class Devices(Protocol):
    """The devices that PYNQ found."""

    devices: Sequence[object]


class Pynq(Protocol):
    """The package `pynq`."""

    Device: Devices

    def Overlay(self, bitfile_name: str) -> Overlay: ...

    def MMIO(self, base_addr: int, length: int) -> Registers: ...

    def Interrupt(self, pinname: str) -> Interrupt: ...

    def allocate(self, shape: tuple[int, ...], dtype: type, cacheable: bool) -> Buffer: ...


@cache
def _device_loop() -> asyncio.AbstractEventLoop:
    """One event loop for the life of the process: a device of PYNQ keeps the one that it found when it was made."""
    return asyncio.new_event_loop()


def _look_for_devices(pynq: Pynq) -> None:
    """Have PYNQ look for devices, which it does once in a process, the first time that anything asks for them.

    It takes the event loop of the thread that asks, and has no device for good if there is none. Only a main thread has one, and only
    until its first asyncio.run, so a thread of our own asks, which is given one.
    """
    with ThreadPoolExecutor(1, initializer=lambda: asyncio.set_event_loop(_device_loop())) as thread:
        thread.submit(lambda: pynq.Device.devices).result()


def import_pynq() -> Pynq:
    """The package `pynq`, which has looked for its devices. UserError if it is missing or fails."""
    try:
        pynq = cast(Pynq, importlib.import_module("pynq"))
        _look_for_devices(pynq)
    except ImportError:
        raise UserError(
            f"pynq is missing: the board is driven through it; {how_to_get_pynq()}, or use the emulator"
        ) from None
    except Exception as error:  # whatever goes wrong in it on a machine that it was not made for
        raise UserError(
            f"pynq fails when it looks for the board ({type(error).__name__}: {error}); run as root on a board with PYNQ, "
            "or use the emulator"
        ) from error
    return pynq


def board_missing() -> str:
    """Why no board can be driven from here, in words; empty if PYNQ is installed, works and finds a device."""
    if find_spec("pynq") is None:
        return "the package pynq is not installed"
    try:
        return "" if import_pynq().Device.devices else "PYNQ finds no device"
    except UserError as error:
        return str(error)
