"""The on-chip memories under random traffic of all their clients, against arrays: data, latency, order, priority, faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from sim.bench import clocking
from sim.bench.clocking import CLOCK_PERIOD_STEPS
from sim.bench.packing import pack, unpack
from sim.bench.random_values import random_generator
from sim.bench.runner import run_module_test
from sim.bench.scoreboard import Scoreboard

CYCLES = 3000
PORTS = ("*_i", "*_ni", "*_o")


def merged(word: int, data: int, strobe: int, word_bytes: int) -> int:
    """word with the bytes of data whose strobe is set."""
    mask = sum(0xFF << 8 * byte for byte in range(word_bytes) if strobe >> byte & 1)
    return word & ~mask | data & mask


def random_address(rng: np.random.Generator, words: int) -> int:
    """Mostly few words, so that reads meet fresh writes; sometimes just or far beyond the memory."""
    kind = rng.random()
    if kind < 0.7:
        return int(rng.integers(16))
    if kind < 0.95:
        return int(rng.integers(words))
    return int(rng.choice([words, words + 5, 1 << 31, (1 << 32) - 1]))


class Client:
    """One port with valid and address: a request stays until it is taken."""

    def __init__(self, rng: np.random.Generator, words: int, word_bytes: int, rate: float) -> None:
        self.rng, self.words, self.word_bytes, self.rate = rng, words, word_bytes, rate
        self.valid, self.address, self.data, self.strobe = False, 0, 0, 0

    def offer(self) -> None:
        if not self.valid and self.rng.random() < self.rate:
            self.valid = True
            self.address = random_address(self.rng, self.words)
            self.data = int.from_bytes(self.rng.bytes(self.word_bytes), "little")
            full = (1 << self.word_bytes) - 1
            self.strobe = (
                full
                if self.rng.random() < 0.4
                else int.from_bytes(self.rng.bytes(self.word_bytes // 8 + 1), "little") & full
            )


class WidePort:
    """The wide port of the activation memory: words of `width` neighbours, `count` of them from address 0 on."""

    def __init__(self, dut: object, rng: np.random.Generator, width: int, count: int, word_bytes: int) -> None:
        self.dut, self.rng, self.width, self.count, self.word_bytes = dut, rng, width, count, word_bytes
        self.read: int | None = None
        self.write: int | None = None
        self.expected: int | None = None
        self.checked = 0

    def offer(self) -> None:
        """Draw requests, and drive them."""
        self.read, self.write = (int(self.rng.integers(self.count)) if self.rng.random() < 0.3 else None for _ in "rw")
        size = self.width * self.word_bytes
        self.data = int.from_bytes(self.rng.bytes(size), "little")
        self.strobe = int.from_bytes(self.rng.bytes(size // 8), "little")
        self.dut.wide_rd_valid_i.value = int(self.read is not None)
        self.dut.wide_rd_address_i.value = self.read or 0
        self.dut.wide_wr_valid_i.value = int(self.write is not None)
        self.dut.wide_wr_address_i.value = self.write or 0
        self.dut.wide_wr_data_i.value = self.data
        self.dut.wide_wr_strobe_i.value = self.strobe

    def words(self, number: int | None) -> range:
        """The addresses of a wide word; none without a request."""
        return range(0) if number is None else range(self.width * number, self.width * (number + 1))

    def check(self, content: dict[int, int]) -> None:
        """The answer to the read of the cycle before; remember what this cycle's has to be, then write."""
        if self.expected is not None:
            assert int(self.dut.wide_rd_data_o.value) == self.expected, "wide read"
            self.checked += 1
        self.expected = None
        if self.read is not None:
            self.expected = pack([content[word] for word in self.words(self.read)], 8 * self.word_bytes)

    def land(self, content: dict[int, int]) -> None:
        for lane, word in enumerate(self.words(self.write)):
            data, strobe = self.data >> (8 * self.word_bytes * lane), self.strobe >> (self.word_bytes * lane)
            full = (1 << self.word_bytes) - 1
            content[word] = merged(content[word], data & (1 << 8 * self.word_bytes) - 1, strobe & full, self.word_bytes)


async def traffic(
    dut,
    words: int,
    word_bytes: int,
    reads: int,
    writes: int,
    bank: Callable[[int], int],
    always_read: bool,
    wide_words: int = 0,
    wide_count: int = 0,
) -> None:
    """Drive all clients and check grants by the lowest index in each bank, answers and faults, cycle by cycle.

    bank: the bank that serves a word address. wide_words, wide_count: see WidePort; its banks are taken first.
    """
    rng = random_generator()
    wide = WidePort(dut, rng, wide_words, wide_count, word_bytes) if wide_count else None
    readers = [Client(rng, words, word_bytes, rate) for rate in rng.choice([0.2, 0.6, 1.0], reads)]
    writers = [Client(rng, words, word_bytes, rate) for rate in rng.choice([0.2, 0.6, 1.0], writes)]
    content = {}
    for word in range(words):
        content[word] = int.from_bytes(rng.bytes(word_bytes), "little")
        dut.wr_valid_i.value = 1 << (writes - 1)
        dut.wr_address_i.value = pack([0] * (writes - 1) + [word], 32)
        dut.wr_data_i.value = pack([0] * (writes - 1) + [content[word]], 8 * word_bytes)
        dut.wr_strobe_i.value = pack([0] * (writes - 1) + [(1 << word_bytes) - 1], word_bytes)
        await RisingEdge(dut.clk_i)
    due: deque[list[int | None]] = deque([[None] * reads, [None] * reads])
    rd_fault = wr_fault = 0
    checked = refused = faults = 0
    for _ in range(CYCLES):
        for client in (*readers, *writers):
            client.offer()
        if wide:
            wide.offer()
        dut.rd_valid_i.value = sum(c.valid << i for i, c in enumerate(readers))
        dut.rd_address_i.value = pack([c.address for c in readers], 32)
        dut.wr_valid_i.value = sum(c.valid << i for i, c in enumerate(writers))
        dut.wr_address_i.value = pack([c.address for c in writers], 32)
        dut.wr_data_i.value = pack([c.data for c in writers], 8 * word_bytes)
        dut.wr_strobe_i.value = pack([c.strobe for c in writers], word_bytes)
        await RisingEdge(dut.clk_i)
        # what shows now was granted one (faults) and two (data) cycles ago
        answers = due.popleft()
        assert int(dut.rd_data_valid_o.value) == sum((a is not None) << i for i, a in enumerate(answers))
        data = unpack(int(dut.rd_data_o.value), 8 * word_bytes, reads, signed=False)
        for port, answer in enumerate(answers):
            if answer is not None:
                assert data[port] == answer, f"read client {port} got {data[port]:x}, expected {answer:x}"
                checked += 1
        assert (int(dut.rd_fault_o.value), int(dut.wr_fault_o.value)) == (rd_fault, wr_fault)
        # grants of this cycle
        rd_ready = (1 << reads) - 1 if always_read else int(dut.rd_ready_o.value)
        wr_ready = int(dut.wr_ready_o.value)
        rd_fault = wr_fault = 0
        answers = [None] * reads
        if wide:
            wide.check(content)
        taken = {bank(word) for word in wide.words(wide.read)} if wide else set()
        for port, client in enumerate(readers):
            if client.valid:
                granted = bank(client.address) not in taken
                taken.add(bank(client.address))
                assert rd_ready >> port & 1 == granted, f"grant of read client {port}"
                refused += not granted
                if granted:
                    client.valid = False
                    answers[port] = content.get(client.address, 0)
                    rd_fault |= (client.address >= words) << port
        due.append(answers)
        taken = {bank(word) for word in wide.words(wide.write)} if wide else set()
        if wide:
            wide.land(content)
        for port, client in enumerate(writers):
            if client.valid:
                granted = bank(client.address) not in taken
                taken.add(bank(client.address))
                assert wr_ready >> port & 1 == granted, f"grant of write client {port}"
                if granted:
                    client.valid = False
                    if client.address < words:
                        content[client.address] = merged(
                            content[client.address], client.data, client.strobe, word_bytes
                        )
                    else:
                        wr_fault |= 1 << port
        faults += bool(rd_fault) + bool(wr_fault)
    assert wide is None or wide.checked > CYCLES // 8
    assert checked > CYCLES // 8 and faults > 20 and (refused > 50 or always_read)


@cocotb.test()
async def act_traffic(dut):
    names = ("TileColumns", "ActBytes", "ActBanks", "ActUltraBytes", "WideWords", "NumReads", "NumWrites")
    args = {name: int(cocotb.plusargs[name]) for name in names}
    word_bytes = 2 * args["TileColumns"]
    block_words = (args["ActBytes"] - args["ActUltraBytes"]) // word_bytes

    def bank(address: int) -> int:
        if args["ActUltraBytes"] and address >= block_words:
            return args["ActBanks"] + address % 2
        return address % args["ActBanks"]

    for port in ("rd_valid_i", "wr_valid_i", "wide_rd_valid_i", "wide_wr_valid_i"):
        getattr(dut, port).value = 0
    await clocking.start(dut)
    words = args["ActBytes"] // word_bytes
    # The wide part ends in the middle of the block RAM; without enough banks for a wide word there is none.
    width = args["WideWords"]
    count = block_words // width // 2 if width <= args["ActBanks"] else 0
    await traffic(
        dut, words, word_bytes, args["NumReads"], args["NumWrites"], bank, always_read=False,
        wide_words=width, wide_count=count,
    )  # fmt: skip


@cocotb.test()
async def weight_traffic(dut):
    names = ("TileColumns", "TileDepth", "WeightBytes", "SharedBytes")
    args = {name: int(cocotb.plusargs[name]) for name in names}
    word_bytes = args["TileColumns"] * args["TileDepth"]
    shared = [0] * (args["SharedBytes"] // word_bytes)
    accesses = 0

    async def serve_shared() -> None:
        """The activation memory behind the weight memory: read data one cycle later."""
        nonlocal accesses
        while True:
            await RisingEdge(dut.clk_i)
            if dut.rst_ni.value == 1 and dut.shared_rd_valid_o.value == 1:
                dut.shared_rd_data_i.value = shared[int(dut.shared_rd_address_o.value)]
                accesses += 1
            if dut.rst_ni.value == 1 and dut.shared_wr_valid_o.value == 1:
                word = int(dut.shared_wr_address_o.value)
                data, strobe = int(dut.shared_wr_data_o.value), int(dut.shared_wr_strobe_o.value)
                shared[word] = merged(shared[word], data, strobe, word_bytes)

    for port in ("rd_valid_i", "wr_valid_i"):
        getattr(dut, port).value = 0
    cocotb.start_soon(serve_shared())
    await clocking.start(dut)
    words = (args["WeightBytes"] + args["SharedBytes"]) // word_bytes
    await traffic(dut, words, word_bytes, 1, 2, lambda address: 0, always_read=True)
    assert (accesses > 0) == (args["SharedBytes"] > 0)


@cocotb.test()
async def row_traffic(dut):
    """Maxima and scales under random writes and reads of both sides, each port within the entries it may address."""
    rng = random_generator()
    ports, entries = (int(cocotb.plusargs[name]) for name in ("ActPorts", "RowEntries"))
    row_bits = (entries - 1).bit_length()
    maxima, scales = [0] * entries, [(0, 0)] * entries
    board = Scoreboard("maxima and scales")
    Clock(dut.clk_i, CLOCK_PERIOD_STEPS, unit="step").start()
    for cycle in range(1500):
        filling = cycle < entries
        max_writes = rng.random(ports) < 0.4
        max_entries = ports * rng.integers(0, entries // ports, ports) + np.arange(ports)
        max_data = rng.integers(0, 1 << 16, ports)
        scale_write, scale_entry = rng.random() < 0.4, int(rng.integers(entries))
        scale = (int(rng.integers(1 << 16)), int(rng.integers(1 << 6)))
        if filling:
            max_writes[:], max_entries[cycle % ports] = np.arange(ports) == cycle % ports, cycle
            scale_write, scale_entry = True, cycle
        # an entry may be read and written in the same cycle by no instruction stream: the answer would be either
        free = sorted(set(range(entries)) - set(max_entries.tolist()) - {scale_entry})
        max_read = int(rng.choice(free))
        scale_reads = [int(rng.choice([e for e in free if e % ports == p])) for p in range(ports)]
        dut.max_we_i.value = sum(int(w) << p for p, w in enumerate(max_writes))
        dut.max_wr_address_i.value = pack(max_entries, row_bits)
        dut.max_wr_data_i.value = pack(max_data, 16)
        dut.max_rd_address_i.value = max_read
        dut.scale_we_i.value = int(scale_write)
        dut.scale_wr_address_i.value = scale_entry
        dut.scale_wr_multiplier_i.value, dut.scale_wr_shift_i.value = scale
        dut.scale_rd_address_i.value = pack(scale_reads, row_bits)
        await RisingEdge(dut.clk_i)
        if cycle > entries:
            multipliers = unpack(int(dut.scale_rd_multiplier_o.value), 16, ports, signed=False)
            shifts = unpack(int(dut.scale_rd_shift_o.value), 6, ports, signed=False)
            board.observe((int(dut.max_rd_data_o.value), *zip(multipliers, shifts)))
        for p in np.flatnonzero(max_writes):
            maxima[max_entries[p]] = int(max_data[p])
        if scale_write:
            scales[scale_entry] = scale
        if filling:
            continue
        board.expect([(maxima[max_read], *(scales[e] for e in scale_reads))])
    await RisingEdge(dut.clk_i)
    multipliers = unpack(int(dut.scale_rd_multiplier_o.value), 16, ports, signed=False)
    shifts = unpack(int(dut.scale_rd_shift_o.value), 6, ports, signed=False)
    board.observe((int(dut.max_rd_data_o.value), *zip(multipliers, shifts)))
    board.close()


@pytest.mark.parametrize("ports, entries", [(1, 16), (2, 16), (2, 128)])
def test_row_statistics(ports, entries):
    parameters = {"ActPorts": ports, "RowEntries": entries}
    run_module_test(
        "row_statistics", __name__, parameters=parameters, plusargs=parameters, testcase="row_traffic", public=PORTS
    )


ACT_SIZES = [(8, 4, 20, 2, 2), (32, 4, 16, 2, 4), (8, 1, 22, 2, 2), (16, 8, 0, 1, 2), (16, 2, 2, 1, 2)]
"""tile_columns, banks of block RAM, words of UltraRAM, ports, words of a wide one. The words are no power of two."""


@pytest.mark.parametrize("columns, banks, ultra_words, ports, wide", ACT_SIZES)
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_act_memory(columns, banks, ultra_words, ports, wide, seed):
    ultra_bytes = 2 * columns * ultra_words
    parameters = {
        "TileColumns": columns, "ActBytes": 2 * columns * banks * 25 + ultra_bytes, "ActBanks": banks,
        "ActUltraBytes": ultra_bytes, "WideWords": wide, "NumReads": 3 * ports + 2, "NumWrites": ports + 2,
    }  # fmt: skip
    run_module_test(
        "act_memory",
        __name__,
        parameters=parameters,
        plusargs=parameters,
        seed=seed,
        testcase="act_traffic",
        public=PORTS,
    )


@pytest.mark.parametrize("columns, depth, shared_words", [(8, 4, 32), (32, 8, 40), (32, 8, 0)])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_weight_memory(columns, depth, shared_words, seed):
    word_bytes = columns * depth
    parameters = {
        "TileColumns": columns, "TileDepth": depth, "WeightBytes": word_bytes * 96, "SharedBytes": word_bytes * shared_words,
    }  # fmt: skip
    run_module_test(
        "weight_memory",
        __name__,
        parameters=parameters,
        plusargs=parameters,
        seed=seed,
        testcase="weight_traffic",
        public=PORTS,
    )
