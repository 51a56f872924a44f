"""An AXI4 memory in Python that serves the master ports of a module under test: 16-byte beats, INCR, in order, no IDs.

It is meant for protocol tests of one module; whole frames use the DRAM model in sim/machines/rtl/dram.sv, which is many times
faster. An address outside the memory answers DECERR. The test fails on a burst that is not INCR, has partial beats, or crosses
a 4 KiB boundary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.pauses import never_pause
from moesaic.sim.machines.dut import Dut
from moesaic.spec.dram_timing import BEAT_BYTES

OKAY, SLVERR, DECERR = 0, 2, 3


class AxiMemory:
    """Memory content and address map.

    Args:
        content: uint8 [bytes], mapped at address `base`; writes change it in place.
        base: address of the first byte, a multiple of 16.
        error_address: address whose beat answers SLVERR; None for no error.

    Attributes:
        read_bursts, write_bursts: (address, beats) of every burst accepted so far, in order.
    """

    def __init__(self, content: np.ndarray, base: int = 0, error_address: int | None = None) -> None:
        self.content = content
        self.base = base
        self.error_address = error_address
        self.read_bursts: list[tuple[int, int]] = []
        self.write_bursts: list[tuple[int, int]] = []

    def response(self, address: int) -> int:
        """Return OKAY, SLVERR or DECERR for the beat at `address`, a multiple of 16."""
        if self.error_address is not None and self.error_address // BEAT_BYTES * BEAT_BYTES == address:
            return SLVERR
        return OKAY if 0 <= address - self.base <= len(self.content) - BEAT_BYTES else DECERR

    def read(self, address: int) -> int:
        """Return the 16-byte beat at `address` as a little-endian integer; every byte is 0xEE if the response is an error."""
        if self.response(address) != OKAY:
            return int.from_bytes(b"\xee" * BEAT_BYTES, "little")
        start = address - self.base
        return int.from_bytes(self.content[start : start + BEAT_BYTES].tobytes(), "little")

    def write(self, address: int, data: int, strobe: int) -> None:
        """Write the strobed bytes of the beat at `address`; write nothing if the response is an error.

        data: 16 bytes as a little-endian integer. strobe: 16 bits, bit i for byte i.
        """
        if self.response(address) != OKAY:
            return
        for byte in range(BEAT_BYTES):
            if strobe >> byte & 1:
                self.content[address - self.base + byte] = data >> (8 * byte) & 0xFF


def _check_burst(channel: str, address: int, beats: int, size: int, burst: int) -> None:
    assert burst == 1, f"{channel}: burst type {burst}, only INCR (1) is served"
    assert size == 4, f"{channel}: size {size}, only 16-byte beats (4) are served"
    end = address % 4096 // BEAT_BYTES * BEAT_BYTES + beats * BEAT_BYTES
    assert end <= 4096, f"{channel}: burst at {address:#x} of {beats} beats crosses 4 KiB"


def serve_reads(
    dut: Dut,
    memory: AxiMemory,
    prefix: str = "m_axi",
    *,
    latency: int = 4,
    outstanding: int = 8,
    address_pauses: Iterator[bool] | None = None,
    data_pauses: Iterator[bool] | None = None,
) -> None:
    """Start serving `<prefix>_ar*` and `<prefix>_r*`.

    latency: cycles from an address to its first beat. outstanding: most bursts accepted but not yet fully read.
    address_pauses, data_pauses: one bool for every cycle in which arready or rvalid could be high, True to hold it low; None
    for full speed.
    """

    def port(name: str) -> Any:
        return getattr(dut, f"{prefix}_{name}")

    address_pauses = address_pauses or never_pause()
    data_pauses = data_pauses or never_pause()
    port("arready").value = 0
    port("rvalid").value = 0

    async def serve() -> None:
        beats: deque[tuple[int, int, bool]] = deque()  # cycle due, address, last
        bursts = cycle = 0
        address_ready = data_valid = False
        while True:
            await RisingEdge(dut.clk_i)
            cycle += 1
            if address_ready and port("arvalid").value == 1:
                address, count = int(port("araddr").value), int(port("arlen").value) + 1
                _check_burst(f"{prefix}_ar", address, count, int(port("arsize").value), int(port("arburst").value))
                memory.read_bursts.append((address, count))
                first = address // BEAT_BYTES * BEAT_BYTES
                for index in range(count):
                    beats.append((cycle + latency - 1, first + index * BEAT_BYTES, index == count - 1))
                bursts += 1
            if data_valid and port("rready").value == 1:
                bursts -= beats.popleft()[2]
                data_valid = False
            if not data_valid:
                data_valid = bool(beats) and cycle >= beats[0][0] and not next(data_pauses)
                if data_valid:
                    _, address, last = beats[0]
                    port("rdata").value = memory.read(address)
                    port("rresp").value = memory.response(address)
                    port("rlast").value = int(last)
                port("rvalid").value = int(data_valid)
            address_ready = bursts < outstanding and not next(address_pauses)
            port("arready").value = int(address_ready)

    cocotb.start_soon(serve())


def serve_writes(
    dut: Dut,
    memory: AxiMemory,
    prefix: str = "m_axi",
    *,
    latency: int = 4,
    outstanding: int = 8,
    address_pauses: Iterator[bool] | None = None,
    data_pauses: Iterator[bool] | None = None,
    response_pauses: Iterator[bool] | None = None,
) -> None:
    """Start serving `<prefix>_aw*`, `<prefix>_w*` and `<prefix>_b*`.

    latency: cycles from the last beat of a burst to its response. outstanding: most bursts accepted but not yet answered.
    address_pauses, data_pauses, response_pauses: one bool for every cycle in which awready, wready or bvalid could be high,
    True to hold it low; None for full speed.
    """

    def port(name: str) -> Any:
        return getattr(dut, f"{prefix}_{name}")

    address_pauses = address_pauses or never_pause()
    data_pauses = data_pauses or never_pause()
    response_pauses = response_pauses or never_pause()
    for name in ("awready", "wready", "bvalid"):
        port(name).value = 0

    async def serve() -> None:
        bursts: deque[tuple[int, int]] = deque()  # first address, beats
        responses: deque[tuple[int, int]] = deque()  # cycle due, response
        cycle = done = worst = 0
        address_ready = data_ready = response_valid = False
        while True:
            await RisingEdge(dut.clk_i)
            cycle += 1
            if data_ready and port("wvalid").value == 1:
                first, count = bursts[0]
                address = first + done * BEAT_BYTES
                memory.write(address, int(port("wdata").value), int(port("wstrb").value))
                worst = max(worst, memory.response(address))
                done += 1
                last = int(port("wlast").value)
                assert last == (done == count), f"{prefix}_w: wlast is {last} on beat {done} of {count}"
                if last:
                    responses.append((cycle + latency - 1, worst))
                    bursts.popleft()
                    done = worst = 0
            if address_ready and port("awvalid").value == 1:
                address, count = int(port("awaddr").value), int(port("awlen").value) + 1
                _check_burst(f"{prefix}_aw", address, count, int(port("awsize").value), int(port("awburst").value))
                memory.write_bursts.append((address, count))
                bursts.append((address // BEAT_BYTES * BEAT_BYTES, count))
            if response_valid and port("bready").value == 1:
                responses.popleft()
                response_valid = False
            if not response_valid:
                response_valid = bool(responses) and cycle >= responses[0][0] and not next(response_pauses)
                if response_valid:
                    port("bresp").value = responses[0][1]
                port("bvalid").value = int(response_valid)
            address_ready = len(bursts) + len(responses) < outstanding and not next(address_pauses)
            port("awready").value = int(address_ready)
            data_ready = bool(bursts) and not next(data_pauses)
            port("wready").value = int(data_ready)

    cocotb.start_soon(serve())
