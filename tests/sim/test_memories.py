"""The on-chip memories under random traffic of all their clients, against arrays: data, latency, order, priority, faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.clocking import CLOCK_PERIOD_STEPS
from moesaic.sim.bench_kit.packing import pack, unpack
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.configuration import load_configuration

CYCLES = 3000
READ_CYCLES = 4
"""From a grant to its answer."""
WRITE_CYCLES, SHARED_WRITE_CYCLES = 2, 4
"""From a grant to the first read that sees it; the latter of weights in the shared part, which pass through both memories."""
MAXIMUM_CYCLES, SCALE_CYCLES = 3, 2
"""From an address to its row statistics."""
PORTS = ("*_i", "*_ni", "*_o")
PARAMETERS = (
    "TileColumns", "TileDepth", "ActBytes", "ActBanks", "ActUltraBytes", "SharedBytes", "WeightBytes", "NumReads", "NumWrites",
)  # fmt: skip


def merged(word: int, data: int, strobe: int, word_bytes: int) -> int:
    """word with the bytes of data whose strobe is set."""
    mask = sum(0xFF << 8 * byte for byte in range(word_bytes) if strobe >> byte & 1)
    return word & ~mask | data & mask


def random_address(rng: np.random.Generator, words: int, hot: int) -> int:
    """Mostly one of 16 words from `hot` on, so that reads meet fresh writes; sometimes just or far beyond the memory."""
    kind = rng.random()
    if kind < 0.7:
        return hot + int(rng.integers(16))
    if kind < 0.95:
        return int(rng.integers(words))
    return int(rng.choice([words, words + 5, 1 << 31, (1 << 32) - 1]))


class Client:
    """One port with valid and address: a request stays until it is taken."""

    def __init__(self, rng: np.random.Generator, words: int, hot: int, word_bytes: int) -> None:
        self.rng, self.words, self.hot, self.word_bytes = rng, words, hot, word_bytes
        self.rate = float(rng.choice([0.2, 0.6, 1.0]))
        self.valid, self.address, self.data, self.strobe = False, 0, 0, 0

    def offer(self) -> None:
        if not self.valid and self.rng.random() < self.rate:
            self.valid = True
            self.address = random_address(self.rng, self.words, self.hot)
            self.data = int.from_bytes(self.rng.bytes(self.word_bytes), "little")
            full = (1 << self.word_bytes) - 1
            self.strobe = (
                full
                if self.rng.random() < 0.4
                else int.from_bytes(self.rng.bytes(self.word_bytes // 8 + 1), "little") & full
            )


class Window:
    """The clients of one memory: they are driven, and their grants by the lowest index in each bank, answers and faults checked.

    dut, prefix: the ports are `<prefix>rd_valid_i` and so on. content: bytes, of which the window's word 0 begins at first.
    shared: the first word whose writes take SHARED_WRITE_CYCLES. hot: see random_address. bank: the bank that serves a word address.
    always_read: there is no rd_ready_o.
    """

    def __init__(
        self, dut, rng: np.random.Generator, prefix: str, content: bytearray, first: int, words: int, word_bytes: int,
        reads: int, writes: int, bank: Callable[[int], int], *, shared: int | None = None, hot: int = 0, always_read: bool = False,
    ) -> None:  # fmt: skip
        self.dut, self.prefix, self.content, self.first = dut, prefix, content, first
        self.words, self.word_bytes, self.bank, self.always_read = words, word_bytes, bank, always_read
        self.readers = [Client(rng, words, hot, word_bytes) for _ in range(reads)]
        self.writers = [Client(rng, words, hot, word_bytes) for _ in range(writes)]
        self.due: deque[list[int | None]] = deque([[None] * reads for _ in range(READ_CYCLES)])
        self.shared = words if shared is None else shared
        self.cycle, self.writing = 0, []
        self.shown: list[int | None] = [None] * reads
        self.rd_fault = self.wr_fault = 0
        self.checked = self.refused = self.faults = 0
        self.port("rd_valid_i").value = 0
        self.port("wr_valid_i").value = 0

    def port(self, name: str):
        return getattr(self.dut, self.prefix + name)

    def word(self, address: int) -> int:
        start = self.first + address * self.word_bytes
        return int.from_bytes(self.content[start : start + self.word_bytes], "little") if address < self.words else 0

    def set_word(self, address: int, word: int) -> None:
        start = self.first + address * self.word_bytes
        self.content[start : start + self.word_bytes] = word.to_bytes(self.word_bytes, "little")

    async def fill(self) -> None:
        """Write all words through the last client."""
        last = len(self.writers) - 1
        for address in range(self.words):
            self.port("wr_valid_i").value = 1 << last
            self.port("wr_address_i").value = pack([0] * last + [address], 32)
            self.port("wr_data_i").value = pack([0] * last + [self.word(address)], 8 * self.word_bytes)
            self.port("wr_strobe_i").value = pack([0] * last + [(1 << self.word_bytes) - 1], self.word_bytes)
            await RisingEdge(self.dut.clk_i)
        self.port("wr_valid_i").value = 0
        await ClockCycles(self.dut.clk_i, SHARED_WRITE_CYCLES)

    def offer(self) -> None:
        for client in (*self.readers, *self.writers):
            client.offer()

    def drive(self) -> None:
        self.port("rd_valid_i").value = sum(c.valid << i for i, c in enumerate(self.readers))
        self.port("rd_address_i").value = pack([c.address for c in self.readers], 32)
        self.port("wr_valid_i").value = sum(c.valid << i for i, c in enumerate(self.writers))
        self.port("wr_address_i").value = pack([c.address for c in self.writers], 32)
        self.port("wr_data_i").value = pack([c.data for c in self.writers], 8 * self.word_bytes)
        self.port("wr_strobe_i").value = pack([c.strobe for c in self.writers], self.word_bytes)

    @property
    def waiting(self) -> bool:
        return any(c.valid for c in (*self.readers, *self.writers))

    def check_answers(self) -> None:
        """What shows now was granted one (faults) and READ_CYCLES (data) ago; data stays until the next answer."""
        answers = self.due.popleft()
        valid = sum((a is not None) << i for i, a in enumerate(answers))
        assert int(self.port("rd_data_valid_o").value) == valid
        data = unpack(int(self.port("rd_data_o").value), 8 * self.word_bytes, len(answers), signed=False)
        self.checked += len(answers) - answers.count(None)
        self.shown = [new if new is not None else old for new, old in zip(answers, self.shown)]
        for number, shown in enumerate(self.shown):
            assert shown is None or data[number] == shown, f"read client {number} got {data[number]:x}, not {shown:x}"
        faults = (int(self.port("rd_fault_o").value), int(self.port("wr_fault_o").value))
        assert faults == (self.rd_fault, self.wr_fault)
        self.faults += bool(self.rd_fault) + bool(self.wr_fault)

    def check_grants(self, clients: list[Client], ready: int, taken: Iterable[int], what: str) -> list[int]:
        """The clients granted in this cycle; `taken`: banks that are for none of them."""
        taken, granted = set(taken), []
        for number, client in enumerate(clients):
            if client.valid:
                free = self.bank(client.address) not in taken
                taken.add(self.bank(client.address))
                assert ready >> number & 1 == free, f"grant of {what} client {number}"
                if free:
                    client.valid = False
                    granted.append(number)
                else:
                    self.refused += 1
        return granted

    def take_reads(self, taken: Iterable[int] = ()) -> None:
        """After the writes of enough cycles ago."""
        ready = (1 << len(self.readers)) - 1 if self.always_read else int(self.port("rd_ready_o").value)
        granted = self.check_grants(self.readers, ready, taken, "read")
        answers = [self.word(c.address) if i in granted else None for i, c in enumerate(self.readers)]
        self.due.append(answers)
        self.rd_fault = sum((self.readers[i].address >= self.words) << i for i in granted)

    def write(self) -> None:
        """What reads of this cycle see; the first to be called in a cycle."""
        self.cycle += 1
        for _, address, data, strobe in (w for w in self.writing if w[0] == self.cycle):
            self.set_word(address, merged(self.word(address), data, strobe, self.word_bytes))
        self.writing = [w for w in self.writing if w[0] > self.cycle]

    def take_writes(self, taken: Iterable[int] = ()) -> None:
        self.wr_fault = 0
        for number in self.check_grants(self.writers, int(self.port("wr_ready_o").value), taken, "write"):
            client = self.writers[number]
            if client.address < self.words:
                cycles = WRITE_CYCLES if client.address < self.shared else SHARED_WRITE_CYCLES
                self.writing.append((self.cycle + cycles, client.address, client.data, client.strobe))
            else:
                self.wr_fault |= 1 << number


def act_bank(args: dict[str, int]) -> Callable[[int], int]:
    """The bank of a word address: those of the shared part, of the rest of the block RAM, of UltraRAM.

    As many low bits of the address are looked at as addresses inside have: that finds some bank for one outside.
    """
    word_bytes, banks = 2 * args["TileColumns"], args["ActBanks"]
    shared_words = args["SharedBytes"] // word_bytes
    block_words = (args["ActBytes"] - args["ActUltraBytes"]) // word_bytes

    bits = (args["ActBytes"] // word_bytes - 1).bit_length()

    def bank(address: int) -> int:
        address %= 1 << bits
        if args["ActUltraBytes"] and address >= block_words:
            return 2 * banks + address % 2
        return address % banks + (banks if address >= shared_words else 0)

    return bank


@cocotb.test()
async def memory_traffic(dut):
    """Both windows at once. Weights go before activations, never wait, and leave no client of the others behind."""
    args = {name: int(value) for name, value in cocotb.plusargs.items() if name in PARAMETERS}
    word_bytes, wide_bytes = 2 * args["TileColumns"], args["TileColumns"] * args["TileDepth"]
    rng = random_generator()
    content = bytearray(rng.bytes(args["WeightBytes"] + args["ActBytes"]))
    own_words, wide = args["WeightBytes"] // wide_bytes, args["TileDepth"] // 2
    words = own_words + args["SharedBytes"] // wide_bytes
    act = Window(
        dut, rng, "act_", content, args["WeightBytes"], args["ActBytes"] // word_bytes, word_bytes, args["NumReads"],
        args["NumWrites"], act_bank(args),
    )  # fmt: skip
    weight = Window(
        dut, rng, "weight_", content, 0, words, wide_bytes, 1, 2, lambda address: 0, shared=own_words, hot=own_words - 6,
        always_read=True,
    )  # fmt: skip

    def banks(clients: list[Client]) -> set[int]:
        """What the first of the clients takes from the activation memory, also for an address outside by its low bits."""
        address = next((c.address for c in clients if c.valid), 0)
        first = (address - own_words) * wide % args["ActBanks"]
        shared = args["SharedBytes"] and address % (1 << words.bit_length()) >= own_words
        return set(range(first, first + wide)) if shared else set()

    await clocking.start(dut)
    await act.fill()
    await weight.fill()
    behind = 0
    late_taken: deque[set[int]] = deque([set(), set()])
    for cycle in range(CYCLES):
        if cycle % 500 < 480:
            act.offer()
        if cycle % 500 < 400:
            weight.offer()
        act.drive()
        weight.drive()
        await RisingEdge(dut.clk_i)
        act.check_answers()
        weight.check_answers()
        act.write()
        weight.write()
        # a weight is written to the activation memory two cycles after its grant
        late_taken.append(banks(weight.writers))
        rd_taken, wr_taken = banks(weight.readers), late_taken.popleft()
        behind += any(c.valid and act.bank(c.address) in rd_taken for c in act.readers)
        behind += any(c.valid and act.bank(c.address) in wr_taken for c in act.writers)
        weight.take_reads()
        act.take_reads(rd_taken)
        weight.take_writes()
        act.take_writes(wr_taken)
        assert cycle % 500 != 499 or not act.waiting, "a client of the activation memory is left behind"
    assert min(act.checked, weight.checked) > CYCLES // 8 and min(act.faults, weight.faults) > 20
    assert act.refused > 50 and (behind > 10 if args["SharedBytes"] else behind == 0)


@cocotb.test()
async def row_traffic(dut):
    """Maxima and scales under random writes and reads of both sides, each port within the entries it may address."""
    rng = random_generator()
    ports, entries = (int(cocotb.plusargs[name]) for name in ("ActPorts", "RowEntries"))
    row_bits = (entries - 1).bit_length()
    maxima, scales = [0] * entries, [(0, 0)] * entries
    max_board, scale_board = Scoreboard("maxima"), Scoreboard("scales")
    Clock(dut.clk_i, CLOCK_PERIOD_STEPS, unit="step").start()
    last = entries + 1400

    def observe(cycle: int) -> None:
        if entries + MAXIMUM_CYCLES <= cycle < last + MAXIMUM_CYCLES:
            max_board.observe(int(dut.max_rd_data_o.value))
        if entries + SCALE_CYCLES <= cycle < last + SCALE_CYCLES:
            multipliers = unpack(int(dut.scale_rd_multiplier_o.value), 16, ports, signed=False)
            shifts = unpack(int(dut.scale_rd_shift_o.value), 6, ports, signed=False)
            scale_board.observe(list(zip(multipliers, shifts)))

    for cycle in range(last):
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
        observe(cycle)
        for p in np.flatnonzero(max_writes):
            maxima[max_entries[p]] = int(max_data[p])
        if scale_write:
            scales[scale_entry] = scale
        if filling:
            continue
        max_board.expect([maxima[max_read]])
        scale_board.expect([[scales[e] for e in scale_reads]])
    for cycle in range(last, last + MAXIMUM_CYCLES):
        await RisingEdge(dut.clk_i)
        observe(cycle)
    max_board.close()
    scale_board.close()


@pytest.mark.parametrize("ports, entries", [(1, 16), (2, 16), (2, 128), (2, 2048)])
def test_row_statistics(ports, entries):
    parameters = {"ActPorts": ports, "RowEntries": entries}
    run_module_test(
        "moesaic_row_statistics",
        __name__,
        parameters=parameters,
        plusargs=parameters,
        testcase="row_traffic",
        public=PORTS,
    )


SIZES = [
    (8, 4, 4, 5, 20, 2),
    (32, 8, 4, 8, 16, 2),
    pytest.param(16, 4, 8, 24, 0, 1, marks=pytest.mark.slow),
    (8, 4, 2, 1, 4, 1),
    (8, 4, 1, 0, 22, 2),
    pytest.param(16, 8, 2, 0, 2, 1, marks=pytest.mark.slow),
]
"""tile_columns, tile_depth, banks of block RAM, shared rows of 25, words of UltraRAM, ports: a weight word lies in half, all, a
quarter of the banks or nothing is shared. The words are no power of two."""


@pytest.mark.parametrize("columns, depth, banks, shared_rows, ultra_words, ports", SIZES)
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_memories(columns, depth, banks, shared_rows, ultra_words, ports, seed):
    ultra_bytes, row_bytes = 2 * columns * ultra_words, 2 * columns * banks
    run_memory_traffic(
        seed, columns, depth, 25 * row_bytes + ultra_bytes, banks, ultra_bytes, shared_rows * row_bytes,
        24 * columns * depth, 3 * ports + 2, ports + 2,
    )  # fmt: skip


@pytest.mark.parametrize("seed", [0], ids=lambda s: f"seed{s}")
def test_weights_in_block_ram(seed):
    run_memory_traffic(seed, 8, 8, 25 * 64, 4, 0, 8 * 64, 24 * 64, 8, 4, WeightUltra=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0], ids=lambda s: f"seed{s}")
def test_zcu104_size(seed):
    c = load_configuration("zcu104")
    run_memory_traffic(
        seed, c.tile_columns, c.tile_depth, c.act_bytes, c.act_banks, c.act_ultra_bytes, c.shared_bytes, c.weight_bytes,
        3 * c.act_ports + 2, c.act_ports + 2,
    )  # fmt: skip


def run_memory_traffic(seed, *values, **others):
    """values: of PARAMETERS. others: further parameters of the bench, by name."""
    parameters = {**dict(zip(PARAMETERS, values, strict=True)), **others}
    run_module_test(
        "memories_bench",
        __name__,
        parameters=parameters,
        plusargs=parameters,
        seed=seed,
        testcase="memory_traffic",
        public=PORTS,
    )
