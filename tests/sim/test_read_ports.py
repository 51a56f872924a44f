"""The self-test's programs for single read ports, on the load unit: which port reads how much, and how fast."""

from dataclasses import replace

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.host import rate_programs
from moesaic.host.rate_programs import read_port
from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.axi_memory import AxiMemory, serve_reads
from moesaic.sim.bench_kit.packing import PackedPorts
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.stream import StreamSource
from moesaic.spec.configuration import load_configuration
from moesaic.spec.dram_timing import BEAT_BYTES, LATENCY
from moesaic.spec.isa import INSTRUCTION_BYTES
from tests.sim.transfers import CONSTANT_BASE, unit_parameters

SIZE, TOTAL = 1 << 18, 1 << 15
ACCEPTED = 8
"""Bursts that a port of the processing system takes before the first has been read (UG1085)."""


class Bench:
    def __init__(self, dut):
        self.dut = dut
        configuration = load_configuration(cocotb.plusargs["configuration"])
        self.configuration = replace(configuration, load_ports=len(dut.m_axi_arvalid.value))
        content = np.zeros(SIZE, np.uint8)
        packed = PackedPorts(dut, "m_axi", self.configuration.load_ports)
        self.memories = [AxiMemory(content, CONSTANT_BASE) for _ in range(packed.count)]
        for port, memory in enumerate(self.memories):
            serve_reads(packed.port(port), memory, latency=LATENCY, outstanding=ACCEPTED)
        for name in ("act", "weight", "table"):
            getattr(dut, f"{name}_wr_ready_i").value = 1
        dut.halt_i.value = dut.count_i.value = 0
        dut.constant_base_i.value, dut.constant_size_i.value = CONSTANT_BASE, SIZE
        dut.frame_base_i.value = dut.frame_size_i.value = 0
        self.source = StreamSource(dut, "instr_valid_i", "instr_ready_o", ["instr_i"])

    async def run(self, port):
        """The program of a port, from reset on: it, the beats of every burst by port, and cycles from the first load to the last."""
        dut = self.dut
        program = read_port(self.configuration, port, TOTAL, SIZE)
        dut.rst_ni.value = 0
        for _ in range(4):
            await RisingEdge(dut.clk_i)
        dut.rst_ni.value = 1
        for memory in self.memories:
            memory.read_bursts.clear()
        code = program.code[:-INSTRUCTION_BYTES]
        loads = [code[start : start + INSTRUCTION_BYTES] for start in range(0, len(code), INSTRUCTION_BYTES)]
        self.source.send({"instr_i": int.from_bytes(load, "little")} for load in loads)
        done = cycles = 0
        while done < len(loads):
            await RisingEdge(dut.clk_i)
            assert dut.fault_o.value == 0
            done += int(dut.done_o.value)
            cycles += 1
        return program, [[beats for _, beats in memory.read_bursts] for memory in self.memories], cycles


@cocotb.test()
async def each_port_alone(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for port in range(bench.configuration.load_ports):
        program, bursts, cycles = await bench.run(port)
        assert sum(map(sum, bursts)) == program.read_beats
        long = bursts.pop(port)
        # Every long burst came to the port; to every other port came one beat for each, and the ones that chose the port.
        assert long.count(16) == program.read_bytes // (16 * BEAT_BYTES) and sum(long) - 16 * long.count(16) <= 1, port
        assert all(set(other) == {1} and len(other) - long.count(16) in (0, 1) for other in bursts), port
        rate = program.read_bytes / cycles
        dut._log.info(f"port {port}: {rate:.2f} bytes per cycle")
        assert 15 < rate <= 16, f"port {port}: {rate:.2f} bytes per cycle"


@cocotb.test()
async def more_than_a_port_accepts_would_go_elsewhere(dut):
    """Why there is a limit on bursts in flight."""
    bench = Bench(dut)
    await clocking.start(dut)
    rate_programs._RUNS, runs = 3 * ACCEPTED, rate_programs._RUNS
    try:
        _, bursts, _ = await bench.run(0)
    finally:
        rate_programs._RUNS = runs
    assert len(bursts) == 1 or any(16 in other for other in bursts[1:])


@pytest.mark.parametrize(("name", "ports"), [("tiny", 1), ("tiny", 2), ("tiny", 4), ("zcu104", 3)])
def test_read_ports(name, ports):
    configuration = replace(load_configuration(name), load_ports=ports)
    fields = ("load_ports", "tile_columns", "tile_depth", "act_bytes", "weight_bytes", "experts")
    parameters = unit_parameters(configuration, *fields)
    assert run_module_test("load_pins", __name__, parameters=parameters, plusargs={"configuration": name}) == 2
