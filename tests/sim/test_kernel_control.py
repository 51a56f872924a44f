"""The register file in front of the HLS kernel: the host sees the registers of the RTL engine, the kernel its handshake."""

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.spec.isa import Fault, Unit
from moesaic.spec.registers import (
    BY_NAME,
    CONTROL_START,
    CONTROL_STOP,
    COUNTERS,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
    STATUS_STOPPED,
)
from tests.sim.run_registers import RUN_REGISTERS

FINGERPRINT = 0xFEDC_BA98_7654_3210
RESULTS = ("fault", "fault_unit", "fault_tag", "instructions", "matmul_array", "read_beats", "write_beats")
COUNTED = RESULTS[3:]
KEPT = {"constant_base_o": 0xFF_FFFF_F000, "frame_base_o": 0xFF_FFFF_F000, "program_offset_o": 0xFFFF_FFC0}
"""What of a value that the host writes a port shows; 32 bits where nothing is said."""


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        bus = AxiLiteBus.from_prefix(dut, "s_axi_control")
        self.master = AxiLiteMaster(bus, dut.clk_i, dut.rst_ni, reset_active_level=False)
        dut.kernel_ready_i.value = dut.kernel_done_i.value = 0
        for name in RESULTS:
            getattr(dut, f"{name}_i").value = 0
            getattr(dut, f"{name}_valid_i").value = 0

    async def read(self, name):
        return await self.master.read_dword(BY_NAME[name].offset)

    async def write(self, name, value):
        await self.master.write_dword(BY_NAME[name].offset, value)

    async def start(self):
        await self.write("CONTROL", CONTROL_START)
        await clocking.wait_until(self.dut, lambda: self.dut.kernel_start_o.value == 1, 100)

    async def kernel(self, results, cycles):
        """What Vitis HLS makes of the kernel: results with their ap_vld at any time, ap_ready with ap_done at the end."""
        order = [str(name) for name in self.rng.permutation(RESULTS)]
        for _ in range(cycles):
            await RisingEdge(self.dut.clk_i)
            assert self.dut.kernel_start_o.value == 1, "ap_start must stay up until ap_ready"
        for name in order:
            getattr(self.dut, f"{name}_i").value = results.get(name, 0)
            getattr(self.dut, f"{name}_valid_i").value = 1
            await RisingEdge(self.dut.clk_i)
            getattr(self.dut, f"{name}_valid_i").value = 0
            getattr(self.dut, f"{name}_i").value = int(self.rng.integers(1 << 32))
        self.dut.kernel_ready_i.value = self.dut.kernel_done_i.value = 1
        await RisingEdge(self.dut.clk_i)
        self.dut.kernel_ready_i.value = self.dut.kernel_done_i.value = 0
        await ClockCycles(self.dut.clk_i, 8)
        assert self.dut.kernel_start_o.value == 0, "one start, one run"


@cocotb.test()
async def runs_one_after_another(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    assert await bench.read("FINGERPRINT_LOW") == FINGERPRINT & 0xFFFF_FFFF
    assert await bench.read("FINGERPRINT_HIGH") == FINGERPRINT >> 32
    await bench.write("INTERRUPT_ENABLE", 1)
    for run in range(12):
        written = {}
        for port, (names, value) in RUN_REGISTERS.items():
            written[port] = value if run % 2 == 0 else int(bench.rng.integers(1 << 40)) & KEPT.get(port, 0xFFFF_FFFF)
            for part, name in enumerate(names):
                await bench.write(name, written[port] >> (32 * part) & 0xFFFF_FFFF)
        faulty = run % 3 == 2
        results = {name: int(bench.rng.integers(1, 1 << 32)) for name in COUNTED}
        if faulty:
            results["fault"] = int(bench.rng.integers(1, len(Fault)))
            results["fault_unit"] = int(bench.rng.integers(len(Unit) + 1))
            results["fault_tag"] = int(bench.rng.integers(1 << 32))
        await bench.start()
        for port, value in written.items():
            assert int(getattr(dut, port).value) == value, port
        assert await bench.read("STATUS") == STATUS_BUSY
        assert [await bench.read(f"COUNTER_{name.upper()}") for name in COUNTED] == [0] * len(COUNTED)
        assert dut.irq_o.value == 0
        await bench.kernel(results, int(bench.rng.integers(1, 30)))
        assert dut.irq_o.value == 1
        assert await bench.read("STATUS") == (STATUS_DONE | STATUS_FAULT if faulty else STATUS_DONE)
        for register, name in (("FAULT", "fault"), ("FAULT_UNIT", "fault_unit"), ("FAULT_TAG", "fault_tag")):
            assert await bench.read(register) == results.get(name, 0), register
        for name, _ in COUNTERS:
            value = await bench.read(f"COUNTER_{name.upper()}")
            assert value > 0 if name == "cycles" else value == results.get(name, 0), name
        await bench.write("INTERRUPT_STATUS", 1)
        assert dut.irq_o.value == 0


@cocotb.test()
async def a_timeout_waits_for_the_kernel(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    await bench.write("MAX_CYCLES", 20)
    await bench.start()
    await ClockCycles(dut.clk_i, 200)
    assert await bench.read("STATUS") & STATUS_BUSY, "idle while the kernel still writes to memory"
    await bench.kernel({"instructions": 7}, 1)
    assert await bench.read("STATUS") == STATUS_DONE | STATUS_FAULT
    assert await bench.read("FAULT") == Fault.TIMEOUT
    # The next run is not touched by it.
    await bench.write("MAX_CYCLES", 0)
    await bench.start()
    await bench.kernel({"instructions": 8}, 40)
    assert await bench.read("STATUS") == STATUS_DONE
    assert await bench.read("COUNTER_INSTRUCTIONS") == 8


@cocotb.test()
async def a_stop_waits_for_the_kernel(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    await bench.start()
    await bench.write("CONTROL", CONTROL_STOP)
    await ClockCycles(dut.clk_i, 200)
    assert await bench.read("STATUS") == STATUS_BUSY | STATUS_STOPPED, "idle while the kernel still writes to memory"
    await bench.kernel({"instructions": 7}, 1)
    assert await bench.read("STATUS") == STATUS_DONE | STATUS_STOPPED
    assert await bench.read("FAULT") == 0
    await bench.start()
    await bench.kernel({"instructions": 8}, 40)
    assert await bench.read("STATUS") == STATUS_DONE
    assert await bench.read("COUNTER_INSTRUCTIONS") == 8


@cocotb.test()
async def a_count_on_offer_stays(dut):
    """RDATA does not change while RVALID waits (ARM IHI 0022, A3.2.1), though the kernel tells the count meanwhile."""
    bench = Bench(dut)
    reader = bench.master.read_if
    assert reader is not None
    await clocking.start(dut)
    await bench.start()
    for name in COUNTED:
        told = int(bench.rng.integers(1, 1 << 32))
        reader.r_channel.pause = True
        read = cocotb.start_soon(bench.read(f"COUNTER_{name.upper()}"))
        await ClockCycles(dut.clk_i, 8)
        getattr(dut, f"{name}_i").value = told
        getattr(dut, f"{name}_valid_i").value = 1
        await RisingEdge(dut.clk_i)
        getattr(dut, f"{name}_valid_i").value = 0
        for _ in range(4):
            await RisingEdge(dut.clk_i)
            assert (dut.s_axi_control_rvalid.value, dut.s_axi_control_rdata.value) == (1, 0), name
        reader.r_channel.pause = False
        assert await read == 0
        assert await bench.read(f"COUNTER_{name.upper()}") == told


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_kernel_control(seed):
    parameters = {"Fingerprint": f"64'h{FINGERPRINT:016x}"}
    assert run_module_test("moesaic_kernel_control", __name__, parameters=parameters, seed=seed) == 4
