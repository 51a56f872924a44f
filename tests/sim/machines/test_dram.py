"""The DRAM model: content, timing to the cycle, errors, and the protocol faults that it must stop on."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.pauses import never_pause, phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import ModuleTestFailure, run_module_test
from moesaic.sim.machines.ddr4 import DDR4
from moesaic.sim.machines.dram import CONSTANT_WINDOW, FRAME_WINDOW, SOURCES, Dram
from moesaic.spec.dram_timing import BYTES_PER_CYCLE, LATENCY

CONSTANT_BASE, CONSTANT_BYTES = 0x0_2000_0000, 8192
FRAME_BASE, FRAME_BYTES = 0x8_7654_3000, 4096 + 64
OKAY, SLVERR, DECERR = 0, 2, 3


@dataclass
class Beat:
    cycle: int
    data: bytes
    response: int
    last: bool


@dataclass
class Master:
    """Drives all five channels of the model from queues and records what comes back, with cycle numbers."""

    dut: object
    pauses: object = field(default_factory=never_pause)
    addresses: dict = field(default_factory=lambda: {"ar": deque(), "aw": deque()})
    data: deque = field(default_factory=deque)
    taken: dict = field(default_factory=lambda: {"ar": [], "aw": [], "w": []})
    beats: list = field(default_factory=list)
    responses: list = field(default_factory=list)
    cycle: int = 0

    def port(self, name):
        return getattr(self.dut, f"s_axi_{name}")

    def read(self, address, beats):
        self.addresses["ar"].append((address, beats))

    def write(self, address, data, strobe=None):
        count = len(data) // 16
        self.addresses["aw"].append((address, count))
        for index in range(count):
            mask = 0xFFFF if strobe is None else strobe[index]
            self.data.append((data[16 * index : 16 * index + 16], mask, index == count - 1))

    def start(self):
        for name in ("arvalid", "awvalid", "wvalid", "rready", "bready"):
            self.port(name).value = 0
        for name in ("ar", "aw"):
            self.port(f"{name}size").value = 4
            self.port(f"{name}burst").value = 1
        return cocotb.start_soon(self.drive())

    async def drive(self):
        valid = {"ar": False, "aw": False, "w": False}
        ready = {"r": False, "b": False}
        while True:
            await RisingEdge(self.dut.clk_i)
            self.cycle += 1
            for name, queue in {**self.addresses, "w": self.data}.items():
                if valid[name] and self.port(f"{name}ready").value == 1:
                    queue.popleft()
                    self.taken[name].append(self.cycle)
                    valid[name] = False
                if not valid[name] and queue and not next(self.pauses):
                    valid[name] = True
                    if name == "w":
                        self.port("wdata").value = int.from_bytes(queue[0][0], "little")
                        self.port("wstrb").value = queue[0][1]
                        self.port("wlast").value = int(queue[0][2])
                    else:
                        self.port(f"{name}addr").value = queue[0][0]
                        self.port(f"{name}len").value = queue[0][1] - 1
                self.port(f"{name}valid").value = int(valid[name])
            if ready["r"] and self.port("rvalid").value == 1:
                data = int(self.port("rdata").value).to_bytes(16, "little")
                self.beats.append(Beat(self.cycle, data, int(self.port("rresp").value), self.port("rlast").value == 1))
            if ready["b"] and self.port("bvalid").value == 1:
                self.responses.append((self.cycle, int(self.port("bresp").value)))
            ready = {name: not next(self.pauses) for name in ready}
            for name, value in ready.items():
                self.port(f"{name}ready").value = int(value)

    async def finish(self, beats, responses, limit=50_000):
        await clocking.wait_until(
            self.dut, lambda: len(self.beats) == beats and len(self.responses) == responses, limit
        )


class Contents:
    """The two windows as files, mapped into the model, and the same bytes as arrays."""

    def __init__(self, dram):
        rng = random_generator(7)
        self.paths = [Path("constants.bin").resolve(), Path("frame.bin").resolve()]
        self.expected = [rng.integers(0, 256, size, dtype=np.uint8) for size in (CONSTANT_BYTES, FRAME_BYTES)]
        for path, content in zip(self.paths, self.expected):
            path.write_bytes(content.tobytes())
        dram.map(CONSTANT_WINDOW, CONSTANT_BASE, CONSTANT_BYTES, self.paths[0])
        dram.map(FRAME_WINDOW, FRAME_BASE, FRAME_BYTES, self.paths[1])

    def files(self):
        return [np.frombuffer(path.read_bytes(), np.uint8) for path in self.paths]

    def assert_equal(self):
        for expected, found in zip(self.expected, self.files()):
            assert np.array_equal(expected, found)


def strobed(strobes):
    return np.unpackbits(np.array(strobes, "<u2").view(np.uint8), bitorder="little").astype(bool)


def beat_bytes(master):
    return b"".join(beat.data for beat in master.beats)


async def read_four_bursts(dut, dram):
    """The master that read the first 4096 bytes, the first of them after the latency."""
    contents = Contents(dram)
    master = Master(dut)
    master.start()
    await clocking.start(dut)
    for index in range(4):
        master.read(CONSTANT_BASE + 1024 * index, 64)
    await master.finish(256, 0)
    assert beat_bytes(master) == contents.expected[0][:4096].tobytes()
    assert [beat.last for beat in master.beats] == ([False] * 63 + [True]) * 4
    assert master.beats[0].cycle - master.taken["ar"][0] == LATENCY
    return master


@cocotb.test()
async def latency_and_bandwidth_of_reads(dut):
    dram = Dram()
    master = await read_four_bursts(dut, dram)
    # One beat per cycle from the first to the last: the later bursts hide behind the first.
    assert master.beats[-1].cycle - master.beats[0].cycle == 255
    assert dram.bytes_read(0) == 4096


@cocotb.test()
async def reads_behind_a_ddr4(dut):
    """A closed row takes the flat model's latency; one port is slower than the memory, but for a refresh."""
    timing = DDR4[cocotb.plusargs["dram"]]
    dram = Dram()
    dram.set_ddr4(timing)
    master = await read_four_bursts(dut, dram)
    assert 255 <= master.beats[-1].cycle - master.beats[0].cycle <= 255 + 100
    gaps = np.diff([beat.cycle for beat in master.beats])
    assert np.count_nonzero(gaps > 1) <= 1
    # The last row is open now.
    master.read(CONSTANT_BASE + 2048, 1)
    await master.finish(257, 0)
    p = timing.parameters
    hit = master.beats[-1].cycle - master.taken["ar"][-1]
    assert abs(LATENCY - hit - p["rcd"] * p["cycles"] / p["clocks"]) <= 1


@cocotb.test()
async def bandwidth_is_shared(dut):
    dram = Dram()
    Contents(dram)
    dram.set_timing(LATENCY, 4.0)
    master = Master(dut)
    master.start()
    await clocking.start(dut)
    master.read(CONSTANT_BASE, 256)
    await master.finish(256, 0)
    cycles = master.beats[-1].cycle - master.beats[0].cycle
    assert abs(cycles - 255 * 4) <= 12, f"{cycles} cycles for 255 beats at 4 bytes a cycle"
    dram.set_timing(LATENCY, BYTES_PER_CYCLE)
    # Reads and writes of one port share its 16 bytes per cycle.
    first, written = len(master.beats), bytes(range(256)) * 4
    begin = master.cycle
    for index in range(4):
        master.read(CONSTANT_BASE + 1024 * index, 64)
        master.write(FRAME_BASE + 1024 * index, written)
    await master.finish(first + 256, 4)
    assert master.cycle - begin >= 512


@cocotb.test()
async def writes_land_with_their_response(dut):
    dram = Dram()
    contents = Contents(dram)
    master = Master(dut)
    master.start()
    await clocking.start(dut)
    old = contents.expected[1].copy()
    new = bytes(range(64))
    master.write(FRAME_BASE + 64, new, [0xFFFF, 0x0001, 0x8000, 0xF00F])
    await master.finish(0, 0)
    await clocking.wait_until(dut, lambda: len(master.taken["w"]) == 4, 100)
    # A read that does not wait for the response gets the old bytes.
    master.read(FRAME_BASE + 64, 4)
    await master.finish(4, 1)
    assert beat_bytes(master) == old[64:128].tobytes()
    assert master.responses[0] == (master.taken["w"][3] + LATENCY, OKAY)
    mask = strobed([0xFFFF, 0x0001, 0x8000, 0xF00F])
    contents.expected[1][64:128][mask] = np.frombuffer(new, np.uint8)[mask]
    contents.assert_equal()
    master.beats.clear()
    master.read(FRAME_BASE + 64, 4)
    await master.finish(4, 1)
    assert beat_bytes(master) == contents.expected[1][64:128].tobytes()


@cocotb.test()
async def addresses_outside_and_injected_errors(dut):
    dram = Dram()
    contents = Contents(dram)
    master = Master(dut)
    master.start()
    await clocking.start(dut)
    # Across the end of the frame window, far outside, below the base, and at an address that only 40 bits tell apart.
    master.read(FRAME_BASE + FRAME_BYTES - 32, 4)
    master.read(0xFF_FFFF_FFF0, 1)
    master.read(CONSTANT_BASE - 16, 1)
    master.read(FRAME_BASE & 0xFFFF_FFFF, 1)
    await master.finish(7, 0)
    assert [beat.response for beat in master.beats] == [OKAY, OKAY, DECERR, DECERR, DECERR, DECERR, DECERR]
    master.write(FRAME_BASE + FRAME_BYTES - 16, bytes(range(48)))
    master.write(CONSTANT_BASE + CONSTANT_BYTES, bytes(16))
    await master.finish(7, 2)
    assert [response for _, response in master.responses] == [DECERR, DECERR]
    contents.expected[1][-16:] = np.arange(16, dtype=np.uint8)
    contents.assert_equal()

    dram.set_error(FRAME_BASE + 37)
    master.beats.clear()
    master.read(FRAME_BASE, 4)
    master.write(FRAME_BASE + 16, bytes(48))
    await master.finish(4, 3)
    assert [beat.response for beat in master.beats] == [OKAY, OKAY, SLVERR, OKAY]
    assert master.responses[2][1] == SLVERR
    contents.expected[1][16:32] = 0
    contents.expected[1][48:64] = 0
    contents.assert_equal()

    dram.set_error(None)
    master.beats.clear()
    master.read(FRAME_BASE, 4)
    await master.finish(4, 3)
    assert [beat.response for beat in master.beats] == [OKAY] * 4


@cocotb.test()
async def random_traffic(dut):
    dram = Dram()
    contents = Contents(dram)
    dram.set_random(cocotb.RANDOM_SEED)
    if "dram" in cocotb.plusargs:
        dram.set_ddr4(DDR4[cocotb.plusargs["dram"]], seed=cocotb.RANDOM_SEED)
    rng = random_generator(3)
    master = Master(dut, pauses=phased_pauses(random_generator(4)))
    master.start()
    await clocking.start(dut)
    clocking.watch_progress(dut, lambda: len(master.beats) + len(master.responses) + len(master.taken["w"]), 4000)
    expected_reads = bytearray()
    latencies = set()
    for _ in range(12):
        # Reads of one window while the other is written, so that no order between them matters.
        written = int(rng.integers(2))
        base, size = [(CONSTANT_BASE, CONSTANT_BYTES), (FRAME_BASE, FRAME_BYTES)][written]
        responses = len(master.responses)
        for _ in range(6):
            page = int(rng.integers(-(-size // 4096))) * 4096
            first = int(rng.integers(min(4096, size - page) // 16))
            beats = int(rng.integers(1, min(4096, size - page) // 16 - first, endpoint=True))
            data = rng.integers(0, 256, 16 * beats, dtype=np.uint8)
            strobe = rng.integers(0, 65536, beats)
            start = page + 16 * first
            master.write(base + start, data.tobytes(), strobe.tolist())
            mask = strobed(strobe)
            contents.expected[written][start : start + 16 * beats][mask] = data[mask]
        begin = len(master.beats)
        reads = 0
        for _ in range(6):
            other = 1 - written
            first = int(rng.integers(256))
            beats = int(rng.integers(1, 256 - first, endpoint=True))
            master.read([CONSTANT_BASE, FRAME_BASE][other] + 16 * first, beats)
            expected_reads += contents.expected[other][16 * first : 16 * (first + beats)].tobytes()
            reads += beats
        await master.finish(begin + reads, responses + 6, 200_000)
        latencies.add(master.beats[begin].cycle - master.taken["ar"][-6])
    assert len(latencies) > 4, "the latencies do not vary"
    assert len(expected_reads) > 0
    assert beat_bytes(master) == bytes(expected_reads)
    assert {response for _, response in master.responses} == {OKAY}
    contents.assert_equal()


@cocotb.test()
async def protocol_fault(dut):
    Contents(Dram())
    master = Master(dut)
    driver = master.start()
    await clocking.start(dut)
    fault = cocotb.plusargs["fault"]
    if fault == "page":
        master.read(CONSTANT_BASE + 4096 - 32, 3)
    elif fault == "wrap":
        dut.s_axi_arburst.value = 2
        master.read(CONSTANT_BASE, 4)
    elif fault == "narrow":
        dut.s_axi_awsize.value = 3
        master.write(FRAME_BASE, bytes(16))
    elif fault == "last":
        master.addresses["aw"].append((FRAME_BASE, 4))
        master.data.append((bytes(16), 0xFFFF, True))
    elif fault == "missing_last":
        master.addresses["aw"].append((FRAME_BASE, 1))
        master.data.append((bytes(16), 0xFFFF, False))
    elif fault == "dropped":
        driver.cancel()
        dut.s_axi_wvalid.value = 1
        await RisingEdge(dut.clk_i)
        dut.s_axi_wvalid.value = 0
    elif fault == "changed":
        driver.cancel()
        dut.s_axi_wvalid.value = 1
        await RisingEdge(dut.clk_i)
        dut.s_axi_wstrb.value = int(dut.s_axi_wstrb.value) ^ 1
    await clocking.wait_until(dut, lambda: False, 200)


SCENARIOS = [
    "latency_and_bandwidth_of_reads",
    "bandwidth_is_shared",
    "writes_land_with_their_response",
    "addresses_outside_and_injected_errors",
]


def run(testcase, seed=0, **plusargs):
    return run_module_test(
        "dram_pins",
        __name__,
        testcase=testcase,
        seed=seed,
        plusargs=plusargs,
        cpp_sources=SOURCES,
        public=("*axi*", "*i"),
    )


@pytest.mark.parametrize("testcase", SCENARIOS)
def test_dram(testcase):
    assert run(testcase) == 1


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_random_traffic(seed):
    assert run("random_traffic", seed) == 1


@pytest.mark.parametrize("name", DDR4)
def test_reads_behind_a_ddr4(name):
    assert run("reads_behind_a_ddr4", dram=name) == 1


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
@pytest.mark.parametrize("name", DDR4)
def test_random_traffic_behind_a_ddr4(name, seed):
    assert run("random_traffic", seed, dram=name) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("page", "read burst at .* of 3 beats crosses 4 KiB"),
        ("wrap", "arburst is 2, only INCR"),
        ("narrow", "awsize is 3, only 16-byte beats"),
        ("last", "wlast came before the last beat"),
        ("missing_last", "wlast missing on the last beat"),
        ("dropped", "valid_held_until_ready"),
        ("changed", "payload_stable_until_ready"),
    ],
    ids=["page", "wrap", "narrow", "last", "missing_last", "dropped", "changed"],
)
def test_protocol_faults_stop_the_simulation(fault, message):
    with pytest.raises(ModuleTestFailure, match=message):
        run("protocol_fault", fault=fault)
