"""An AXI4 memory in Python that serves the master ports of a module under test: 16-byte beats, INCR, in order, no IDs.

In which order ready and valid, addresses and data come, and how late answers are, moesaic.sim.bench_kit.bus_orders draws.

It is meant for protocol tests of one module; whole frames use the DRAM model in sim/machines/rtl/dram.sv, which is many times
faster. An address outside the memory answers DECERR. Without valid the response shows SLVERR, which means nothing. The test fails on a
burst that is not INCR, has partial beats, or crosses a 4 KiB boundary.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.bus_orders import BusOrders
from moesaic.sim.bench_kit.pauses import never_pause
from moesaic.sim.machines.dut import Dut
from moesaic.spec.dram_timing import BEAT_BYTES

_DATA_AHEAD = 32
"""Most beats that are taken before their address."""

OKAY, SLVERR, DECERR = 0, 2, 3


class AxiMemory:
    """Memory content and address map.

    Args:
        content: uint8 [bytes], mapped at address `base`; writes change it in place.
        base: address of the first byte, a multiple of 16.
        error_address: address whose beat answers SLVERR; None for no error.

    Attributes:
        read_bursts, write_bursts: (address, beats) of every burst accepted so far, in order.
        seen: how often each order occurred: "ar ready first", "ar valid first", the same for aw and w, "data first", "address first".
    """

    def __init__(self, content: np.ndarray, base: int = 0, error_address: int | None = None) -> None:
        self.content = content
        self.base = base
        self.error_address = error_address
        self.read_bursts: list[tuple[int, int]] = []
        self.write_bursts: list[tuple[int, int]] = []
        self.seen: Counter[str] = Counter()

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


class _Taker:
    """One channel on which the memory takes what the master offers."""

    def __init__(
        self, dut: Dut, memory: AxiMemory, prefix: str, channel: str, orders: BusOrders, pauses: Iterator[bool]
    ) -> None:
        self._valid = getattr(dut, f"{prefix}_{channel}valid")
        self._ready = getattr(dut, f"{prefix}_{channel}ready")
        self._memory, self._channel = memory, channel
        self._waits, self._pauses = orders.ready_waits[channel], pauses
        self._is_ready = self._waited = False
        self._ready.value = 0

    def took(self) -> bool:
        """Whether something was taken at the edge that has just passed. Call it once a cycle."""
        self._offered = self._valid.value == 1
        taken = self._is_ready and self._offered
        if taken:
            self._memory.seen[f"{self._channel} {'valid' if self._waited else 'ready'} first"] += 1
        self._waited = self._offered and not taken
        return taken

    def offer(self, room: bool) -> None:
        """Set ready for the next cycle. Call it once a cycle, after took()."""
        waits, pause = next(self._waits), next(self._pauses)
        self._is_ready = room and not pause and (self._waited or not waits)
        self._ready.value = int(self._is_ready)


def serve_reads(
    dut: Dut,
    memory: AxiMemory,
    prefix: str = "m_axi",
    *,
    latency: int = 4,
    outstanding: int = 8,
    address_pauses: Iterator[bool] | None = None,
    data_pauses: Iterator[bool] | None = None,
    orders: BusOrders | None = None,
) -> None:
    """Start serving `<prefix>_ar*` and `<prefix>_r*`.

    latency: cycles from an address to its first beat. outstanding: most bursts accepted but not yet fully read.
    address_pauses, data_pauses: one bool for every cycle in which arready or rvalid could be high, True to hold it low; None
    for full speed. orders: None for BusOrders.fixed().
    """

    def port(name: str) -> Any:
        return getattr(dut, f"{prefix}_{name}")

    orders = orders or BusOrders.fixed()
    addresses = _Taker(dut, memory, prefix, "ar", orders, address_pauses or never_pause())
    data_pauses = data_pauses or never_pause()
    port("rvalid").value = 0

    async def serve() -> None:
        beats: deque[tuple[int, int, bool]] = deque()  # cycle due, address, last
        bursts = cycle = 0
        data_valid = False
        while True:
            await RisingEdge(dut.clk_i)
            cycle += 1
            if addresses.took():
                address, count = int(port("araddr").value), int(port("arlen").value) + 1
                _check_burst(f"{prefix}_ar", address, count, int(port("arsize").value), int(port("arburst").value))
                memory.read_bursts.append((address, count))
                first = address // BEAT_BYTES * BEAT_BYTES
                due = cycle + latency - 1 + next(orders.lateness)
                for index in range(count):
                    beats.append((due, first + index * BEAT_BYTES, index == count - 1))
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
                else:
                    port("rresp").value = SLVERR
                port("rvalid").value = int(data_valid)
            addresses.offer(bursts < outstanding)

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
    orders: BusOrders | None = None,
) -> None:
    """Start serving `<prefix>_aw*`, `<prefix>_w*` and `<prefix>_b*`.

    latency: cycles from the last beat of a burst to its response. outstanding: most bursts accepted but not yet answered.
    address_pauses, data_pauses, response_pauses: one bool for every cycle in which awready, wready or bvalid could be high,
    True to hold it low; None for full speed. orders: None for BusOrders.fixed().
    """

    def port(name: str) -> Any:
        return getattr(dut, f"{prefix}_{name}")

    orders = orders or BusOrders.fixed()
    addresses = _Taker(dut, memory, prefix, "aw", orders, address_pauses or never_pause())
    beats = _Taker(dut, memory, prefix, "w", orders, data_pauses or never_pause())
    response_pauses = response_pauses or never_pause()
    port("bvalid").value = 0

    async def serve() -> None:
        bursts: deque[tuple[int, int]] = deque()  # first address, beats
        data: deque[tuple[int, int, int]] = deque()  # beats without a place yet: data, strobe, last
        responses: deque[tuple[int, int]] = deque()  # cycle due, response
        cycle = done = worst = 0
        response_valid = False
        while True:
            await RisingEdge(dut.clk_i)
            cycle += 1
            if beats.took():
                memory.seen["address first" if bursts else "data first"] += 1
                data.append((int(port("wdata").value), int(port("wstrb").value), int(port("wlast").value)))
            if addresses.took():
                address, count = int(port("awaddr").value), int(port("awlen").value) + 1
                _check_burst(f"{prefix}_aw", address, count, int(port("awsize").value), int(port("awburst").value))
                memory.write_bursts.append((address, count))
                bursts.append((address // BEAT_BYTES * BEAT_BYTES, count))
            while bursts and data:
                first, count = bursts[0]
                address, (content, strobe, last) = first + done * BEAT_BYTES, data.popleft()
                memory.write(address, content, strobe)
                worst = max(worst, memory.response(address))
                done += 1
                assert last == (done == count), f"{prefix}_w: wlast is {last} on beat {done} of {count}"
                if last:
                    responses.append((cycle + latency - 1 + next(orders.lateness), worst))
                    bursts.popleft()
                    done = worst = 0
            if response_valid and port("bready").value == 1:
                responses.popleft()
                response_valid = False
            if not response_valid:
                response_valid = bool(responses) and cycle >= responses[0][0] and not next(response_pauses)
                port("bresp").value = responses[0][1] if response_valid else SLVERR
                port("bvalid").value = int(response_valid)
            data_first = next(orders.data_first)
            addresses.offer(len(bursts) + len(responses) < outstanding and (bool(data) or not data_first))
            beats.offer(bool(bursts) or (data_first and len(data) < _DATA_AHEAD))

    cocotb.start_soon(serve())
