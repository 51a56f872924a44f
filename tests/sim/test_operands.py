"""How matmul fetches a and keeps it: each request, its slot and its place in the ring; and words that no enable writes."""

from collections import deque

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack, unpack
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard

SIZES = {"TileRows": 4, "TileColumns": 8, "ActPorts": 2, "RingWords": 16}
ROWS, PORTS, RING = SIZES["TileRows"], SIZES["ActPorts"], SIZES["RingWords"]
DEPTH = 4
WORD_BITS = 16 * SIZES["TileColumns"]
ACT_CYCLES, QUEUE_CYCLES = 4, 3
"""From a grant to its answer, and from a queue's index to its token."""
LAST = (1 << 32) - 1
FACTORS = 26
"""Bits of a pitch by which tokens are multiplied."""


def random_product(rng):
    """The fields of a fetch: rows beside one another or far apart, beyond 32 bits by their pitch, their address or their words."""
    gather = int(rng.random() < 0.5)
    pitch = int(rng.choice([1, 3, 1 << 20, 1 << 25, (1 << FACTORS) - 1, *([] if gather else [1 << 27, (1 << 28) - 1])]))
    return {
        "slot_i": int(rng.integers(2)), "gather_i": gather, "queue_first_i": int(rng.integers(100)), "rows_i": int(rng.integers(1, 14)),
        "words_i": int(rng.choice([1, 2, RING - 1, RING])), "pitch_i": pitch,
        "address_i": int(rng.choice([0, 7, 1 << 25, (1 << 31) - 1, 1 << 31, LAST - 2, LAST, rng.integers(1 << 28)])),
    }  # fmt: skip


def random_tokens(rng):
    """By index in the queue; with the large pitches, multiples of 2**32 are among their products."""
    return [int(rng.choice([0, 1, 127, 128, 64, (1 << 16) - 1, rng.integers(1 << 16)])) for _ in range(128)]


def requests(product, tokens, first_word):
    """By port: (address, slot of the product, group of rows, place in the ring) of each request; and the words of the ring taken."""
    found = [[] for _ in range(PORTS)]
    word = first_word
    for tile in range(0, product["rows_i"], ROWS):
        for n in range(product["words_i"]):
            for row in range(tile, min(tile + ROWS, product["rows_i"])):
                factor = tokens[product["queue_first_i"] + row] if product["gather_i"] else row
                address = product["address_i"] + factor * product["pitch_i"] + n
                found[row % PORTS].append((min(address, LAST), product["slot_i"], row % ROWS // PORTS, word % RING))
            word += 1
    return found, word


def data_of(address):
    """The word that the memory has there."""
    return (address * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) % (1 << WORD_BITS)


class Fetch:
    """The memory behind random ready, the queue, and an array that gives words back when it likes."""

    def __init__(self, dut):
        self.dut, self.rng = dut, random_generator()
        self.tokens = random_tokens(self.rng)
        self.asked = [Scoreboard(f"requests of port {p}") for p in range(PORTS)]
        self.written = [Scoreboard(f"words of port {p}") for p in range(PORTS)]
        self.released = 0
        for name in ("start_i", "rd_ready_i", "rd_data_valid_i", "released_i"):
            getattr(dut, name).value = 0
        cocotb.start_soon(self.queue())
        cocotb.start_soon(self.memory())
        cocotb.start_soon(self.array())

    async def queue(self):
        """Noise for an index that is not valid."""
        dut = self.dut
        waiting = deque([None] * (QUEUE_CYCLES - 1))
        while True:
            await RisingEdge(dut.clk_i)
            looked = dut.rst_ni.value == 1 and dut.queue_valid_o.value == 1
            waiting.append(int(dut.queue_index_o.value) if looked else None)
            index = waiting.popleft()
            dut.queue_token_i.value = int(self.rng.integers(1 << 16)) if index is None else self.tokens[index]

    async def memory(self):
        """Observes each grant with the slot that it says a fault would have, and each word with its place in the operand buffer."""
        dut = self.dut
        pauses = [phased_pauses(random_generator(10 + p)) for p in range(PORTS)]
        waiting = deque([[None] * PORTS] * (ACT_CYCLES - 1))
        ready, granted, place = 0, [None] * PORTS, None
        while True:
            await RisingEdge(dut.clk_i)
            for p, address in enumerate(granted):
                if address is not None:
                    self.asked[p].observe((address, int(dut.fault_slot_o.value)))
            enable, words = int(dut.wr_enable_o.value), unpack(int(dut.wr_data_o.value), WORD_BITS, PORTS, signed=False)
            for p in range(PORTS):
                if dut.rst_ni.value == 1 and enable >> p & 1:
                    self.written[p].observe((*place, words[p]))
            place = int(dut.wr_group_o.value), int(dut.wr_slot_o.value)
            taken = ready & int(dut.rd_valid_o.value) if dut.rst_ni.value == 1 else 0
            addresses = unpack(int(dut.rd_address_o.value), 32, PORTS, signed=False)
            granted = [addresses[p] if taken >> p & 1 else None for p in range(PORTS)]
            waiting.append(granted)
            due = waiting.popleft()
            dut.rd_data_valid_i.value = sum((address is not None) << p for p, address in enumerate(due))
            dut.rd_data_i.value = pack([0 if address is None else data_of(address) for address in due], WORD_BITS)
            ready = sum((not next(pause)) << p for p, pause in enumerate(pauses))
            dut.rd_ready_i.value = ready

    async def array(self):
        dut, pauses = self.dut, phased_pauses(random_generator(20))
        while True:
            await RisingEdge(dut.clk_i)
            if dut.rst_ni.value == 1 and int(dut.filled_o.value) != self.released % (2 * RING) and not next(pauses):
                self.released += 1
                dut.released_i.value = self.released % (2 * RING)


@cocotb.test()
async def fetches_every_word(dut):
    """Products handed over as soon as the unit is ready, which keeps the fields of each until then."""
    bench = Fetch(dut)
    await clocking.start(dut)
    words = 0
    for _ in range(60):
        await clocking.wait_until(dut, lambda: dut.ready_o.value == 1, 10_000)
        product = random_product(bench.rng)
        found, words = requests(product, bench.tokens, words)
        for p, here in enumerate(found):
            bench.asked[p].expect(request[:2] for request in here)
            bench.written[p].expect((group, place, data_of(address)) for address, _, group, place in here)
        for name, value in product.items():
            getattr(dut, name).value = value
        dut.start_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        dut.start_i.value = 0
        await ClockCycles(dut.clk_i, 1)
    await clocking.wait_until(dut, lambda: bench.released == words, 20_000)
    for board in (*bench.asked, *bench.written):
        board.close()


@cocotb.test()
async def keeps_what_was_written(dut):
    """Without its enable a port writes nothing, whatever group, slot and data show."""
    rng = random_generator()
    kept = np.zeros((ROWS, RING), object)
    board = Scoreboard("operands")
    Clock(dut.clk_i, clocking.CLOCK_PERIOD_STEPS, unit="step").start()
    group, slot = 0, 0
    enables = [3] * (ROWS // PORTS * RING + 1) + rng.integers(0, 1 << PORTS, 400).tolist() + [0] * 20
    for cycle, enable in enumerate(enables):
        data = [int.from_bytes(rng.bytes(WORD_BITS // 8), "little") for _ in range(PORTS)]
        for p in range(PORTS):
            if cycle and enable >> p & 1:
                kept[group * PORTS + p, slot] = data[p]
        dut.wr_enable_i.value, dut.wr_data_i.value = enable if cycle else 0, pack(data, WORD_BITS)
        group, slot = int(rng.integers(ROWS // PORTS)), int(rng.integers(RING))
        if cycle < ROWS // PORTS * RING:
            group, slot = divmod(cycle, RING)
        dut.wr_group_i.value, dut.wr_slot_i.value = group, slot
        await RisingEdge(dut.clk_i)
    parts = WORD_BITS // (8 * DEPTH)
    positions = [(slot, part) for slot in range(RING) for part in range(parts)]
    for cycle in range(len(positions) + 4):
        if cycle < len(positions):
            dut.rd_slot_i.value, dut.rd_part_i.value = positions[cycle]
            slot, part = positions[cycle]
            board.expect([[int(kept[r, slot]) >> 8 * DEPTH * part & (1 << 8 * DEPTH) - 1 for r in range(ROWS)]])
        await RisingEdge(dut.clk_i)
        if cycle >= 4:
            board.observe(unpack(int(dut.rd_data_o.value), 8 * DEPTH, ROWS, signed=False))
    board.close()


def test_operand_fetch():
    run_module_test("moesaic_operand_fetch", __name__, parameters=SIZES, testcase="fetches_every_word")


def test_operand_buffer():
    run_module_test(
        "moesaic_operand_buffer", __name__, parameters={**SIZES, "TileDepth": DEPTH}, testcase="keeps_what_was_written"
    )
