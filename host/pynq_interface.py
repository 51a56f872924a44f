"""The parts of PYNQ that the runtime uses, as interfaces, and PYNQ itself where it is installed.

An Overlay is a bitstream with its description, MMIO a range of registers, an array from `allocate` contiguous DRAM that the
processor caches, and an Interrupt a line of the overlay's interrupt controller.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from moesaic.errors import UserError


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


def import_pynq() -> Pynq:
    """The package `pynq`. UserError if it is missing."""
    try:
        return cast(Pynq, importlib.import_module("pynq"))
    except ImportError:
        raise UserError(
            "pynq is missing: the board is driven through it; on a PYNQ image install it with: pip install pynq, "
            "elsewhere use the emulator"
        ) from None


def board_present() -> bool:
    """Whether PYNQ is installed, works here and finds a device. A board without PYNQ counts as none."""
    if find_spec("pynq") is None:
        return False
    try:
        return bool(import_pynq().Device.devices)
    except (UserError, OSError, RuntimeError):
        return False
