"""What the load unit moves per cycle at full size, three ports against the DRAM model, and that all of it arrives."""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.stream import StreamSource
from moesaic.sim.machines.dram import CONSTANT_WINDOW, SOURCES, Dram
from moesaic.spec.configuration import load_configuration
from moesaic.spec.dram_timing import BYTES_PER_CYCLE, LATENCY
from moesaic.spec.int4 import unpack_int4
from moesaic.spec.isa import LoadDestination, pack
from tests.sim.transfers import unit_parameters

CONFIGURATION = load_configuration("zcu104")
BASE, SIZE = 0x1_2000_0000, 1 << 19


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.content = random_generator().integers(0, 256, SIZE, np.uint8)
        path = Path("constants.bin").resolve()
        path.write_bytes(self.content.tobytes())
        self.dram = Dram()
        self.dram.set_timing(LATENCY, BYTES_PER_CYCLE)
        self.dram.map(CONSTANT_WINDOW, BASE, SIZE, path)
        dut.constant_base_i.value, dut.constant_size_i.value = BASE, SIZE
        self.source = StreamSource(dut, "dispatch_valid_i", "dispatch_ready_o", ["dispatch_instr_i"])
        self.found = {"act": np.zeros(SIZE, np.uint8), "weight": np.zeros(SIZE, np.uint8)}

    async def cycles(self, loads):
        """Run these loads and return the cycles from the first to the last word written."""
        dut, cycle, first, last, left = self.dut, 0, None, None, len(loads)
        self.source.send({"dispatch_instr_i": int.from_bytes(pack("load", **fields), "little")} for fields in loads)
        sent = self.source.sent
        while self.source.sent < sent + left or dut.empty_o.value != 1:
            await RisingEdge(dut.clk_i)
            cycle += 1
            assert cycle < 100_000 and dut.fault_o.value == 0
            for name in self.found:
                if getattr(dut, f"{name}_wr_valid_o").value == 1:
                    data = np.frombuffer(getattr(dut, f"{name}_wr_data_o").value.to_bytes(byteorder="little"), np.uint8)
                    bits = getattr(dut, f"{name}_wr_strobe_o").value.to_bytes(byteorder="little")
                    strobe = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").astype(bool)
                    start = int(getattr(dut, f"{name}_wr_address_o").value) * len(data)
                    self.found[name][start : start + len(data)][strobe] = data[strobe]
                    first, last = first or cycle, cycle
        return last - first


def run(size, bytes_each, destination=LoadDestination.WEIGHT, shift=0, unpack=0):
    """Loads of `size` consecutive bytes, on chip to the same addresses, `shift` bytes earlier; twice as many if they unpack."""
    return [
        {
            "destination": destination,
            "dram_offset": start + shift,
            "local_address": start << unpack,
            "unpack": unpack,
            "bytes": min(bytes_each, size - start),
            "count_1": 1,
            "count_2": 1,
            "count_3": 1,
            "overlap": int(start > 0),
        }
        for start in range(0, size, bytes_each)
    ]


@cocotb.test()
async def weights_arrive_at_the_rate_of_dram(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    # One long load, loads of an expert's size, loads of a head's size, and an image of weights that is not aligned.
    for name, bytes_each, shift, least in (
        ("one load", 1 << 18, 0, 42.0),
        ("75 KiB", 75 * 1024, 0, 42.0),
        ("12 KiB", 12 * 1024, 0, 42.0),
        ("4 KiB", 4 * 1024, 0, 40.0),
        ("unaligned", 75 * 1024, 48, 42.0),
    ):
        size = 1 << 18
        cycles = await bench.cycles(run(size, bytes_each, shift=shift))
        rate = size / cycles
        dut._log.info(f"{name}: {rate:.2f} bytes per cycle")
        assert np.array_equal(bench.found["weight"][:size], bench.content[shift : shift + size]), name
        assert rate >= least, f"{name}: {rate:.2f} bytes per cycle"
        bench.found["weight"][:] = 0


@cocotb.test()
async def packed_weights_arrive_at_the_rate_of_dram(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for name, bytes_each, shift, least in (
        ("one load", 1 << 18, 0, 42.0),
        ("36 KiB", 36 * 1024, 0, 42.0),
        ("6 KiB", 6 * 1024, 0, 41.0),
        ("unaligned", 36 * 1024, 48, 42.0),
    ):
        size = 1 << 18
        cycles = await bench.cycles(run(size, bytes_each, shift=shift, unpack=1))
        rate = size / cycles
        dut._log.info(f"{name}: {rate:.2f} bytes of DRAM per cycle")
        expected = unpack_int4(bench.content[None, shift : shift + size], 2 * size).view(np.uint8)[0]
        assert np.array_equal(bench.found["weight"][: 2 * size], expected), name
        assert rate >= least, f"{name}: {rate:.2f} bytes of DRAM per cycle"
        bench.found["weight"][:] = 0


@cocotb.test()
async def short_runs_into_the_activation_memory(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    size = 1 << 15
    fields = {
        "destination": LoadDestination.ACT,
        "bytes": 64,
        "count_1": size // 64,
        "count_2": 1,
        "count_3": 1,
        "dram_stride_1": 192,
        "local_stride_1": 64,
    }
    cycles = await bench.cycles([fields])
    expected = bench.content[: 3 * size].reshape(-1, 192)[:, :64].ravel()
    assert np.array_equal(bench.found["act"][:size], expected)
    rate = size / cycles
    dut._log.info(f"64-byte runs: {rate:.2f} bytes per cycle")
    # A word for the activation memory takes two cycles.
    assert rate >= 0.98 * 2 * CONFIGURATION.tile_columns / 2, f"{rate:.2f} bytes per cycle"
    # The ports share the work and the rate.
    shares = [bench.dram.bytes_read(port) for port in range(CONFIGURATION.load_ports)]
    assert max(shares) - min(shares) <= 0.01 * sum(shares), shares


def test_throughput():
    parameters = unit_parameters(CONFIGURATION, "load_ports", "tile_columns", "tile_depth", "act_bytes", "weight_bytes")
    assert run_module_test("load_bench", __name__, parameters=parameters, cpp_sources=SOURCES) == 3
