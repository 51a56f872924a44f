"""One read port of the load unit: what is wrong on the bus is told at once, whether or not there is room for what is right."""

from collections import deque

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.isa import LoadDestination

WORDS = 16
"""That the port holds; of the table, a word is a beat."""
OKAY, SLVERR = 0, 2


class Bench:
    """Words go to the table and are taken or not; the bus gives the beats that it is told to."""

    def __init__(self, dut):
        self.dut, self.rng = dut, random_generator()
        self.board = Scoreboard("words and errors")
        self.beats: deque[tuple[int, int, int]] = deque()  # data, response, last
        self.taking = False
        for name in ("burst_valid_i", "drop_i", "word_ready_i", "burst_unpack_i", "burst_owner_i", "m_axi_i"):
            getattr(dut, name).value = 0
        dut.burst_destination_i.value = int(LoadDestination.TABLE)
        cocotb.start_soon(self.bus())
        cocotb.start_soon(self.words())

    async def bus(self):
        """Gives its beats as fast as the port takes them, and takes every address."""
        offered = False
        while True:
            await RisingEdge(self.dut.clk_i)
            if offered and int(self.dut.m_axi_o.value) & 1:  # rready
                self.beats.popleft()
            offered = bool(self.beats)
            data, response, last = self.beats[0] if offered else (0, SLVERR, 1)
            self.dut.m_axi_i.value = 1 << 132 | data << 4 | response << 2 | last << 1 | int(offered)

    async def words(self):
        """Observes addresses and data of words, and "error" for every error."""
        ready, address = False, None
        while True:
            await RisingEdge(self.dut.clk_i)
            if address is not None:
                self.board.observe((address, int(self.dut.word_data_o.value) & (1 << 128) - 1))
            taken = ready and self.dut.word_valid_o.value == 1
            address = int(self.dut.word_address_o.value) if taken else None
            if self.dut.rst_ni.value == 1 and self.dut.error_o.value == 1:
                self.board.observe("error")
            ready = self.taking
            self.dut.word_ready_i.value = int(ready)

    async def burst(self, first, beats):
        """Asks for a burst, and returns its data, which the bus has not been told to give."""
        dut = self.dut
        await clocking.wait_until(dut, lambda: dut.burst_ready_o.value == 1, 50)
        dut.burst_valid_i.value = 1
        dut.burst_address_i.value = dut.burst_local_i.value = BEAT_BYTES * first
        dut.burst_length_i.value = beats - 1
        await ClockCycles(dut.clk_i, 1)
        dut.burst_valid_i.value = 0
        return [int.from_bytes(self.rng.bytes(BEAT_BYTES), "little") for _ in range(beats)]


@cocotb.test()
async def an_error_needs_no_room(dut):
    """With all words full, a right beat waits, and a wrong one is told: an error of the bus, a last beat too early, none at all."""
    bench = Bench(dut)
    await clocking.start(dut)
    for response, last, wrong in ((OKAY, 0, False), (SLVERR, 0, True), (OKAY, 1, True)):
        full = await bench.burst(0, WORDS)
        next_ones = await bench.burst(WORDS, 2)
        bench.beats += [(data, OKAY, int(n == WORDS - 1)) for n, data in enumerate(full)]
        bench.beats.append((next_ones[0], response, last))
        bench.board.expect(["error"] if wrong else [])
        await ClockCycles(dut.clk_i, 60)
        assert bench.board.complete
        assert dut.arrived_o.value == int(not wrong), "a right beat waits for room, a wrong one does not"
        bench.beats.append((next_ones[1], OKAY, 1))
        written = [*enumerate(full), *([] if wrong else [(WORDS, next_ones[0])]), (WORDS + 1, next_ones[1])]
        bench.board.expect(written)
        bench.taking = True
        await ClockCycles(dut.clk_i, 60)
        bench.taking = False
        await ClockCycles(dut.clk_i, 2)
        assert bench.board.complete and dut.outstanding_o.value == 0
    bench.board.close()


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_load_port(seed):
    assert run_module_test("moesaic_load_port", __name__, seed=seed) == 1
