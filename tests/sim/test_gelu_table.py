"""The GELU tables: every value of the index, clipping, both tables, writes that wait for look-ups, the fault."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack, unpack
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import TABLE_ENTRIES, saturate

CYCLES = 4
EXTREMES = np.array([-32768, -513, -512, -511, -1, 0, 1, 510, 511, 512, 32767])


async def write(dut, table: np.ndarray, limit: int = 200) -> None:
    for address in range(0, len(table), 16):
        dut.wr_valid_i.value = 1
        dut.wr_address_i.value = address
        dut.wr_data_i.value = int.from_bytes(table[address : address + 16].tobytes(), "little")
        for _ in range(limit):
            await RisingEdge(dut.clk_i)
            if dut.wr_ready_o.value == 1:
                break
        else:
            raise AssertionError(f"the beat at {address} was not taken in {limit} cycles")
    dut.wr_valid_i.value = 0


@cocotb.test()
async def looks_up(dut):
    columns = int(cocotb.plusargs["Lanes"])
    rng = random_generator()
    for port in ("lookup_i", "index_i", "value_i", "wr_valid_i"):
        getattr(dut, port).value = 0
    await clocking.start(dut)
    # the contents are written while look-ups of no interest take the port
    tables = rng.integers(-128, 128, 2 * TABLE_ENTRIES).astype(np.int8)

    async def disturb():
        while True:
            dut.lookup_i.value = int(rng.random() < 0.6)
            dut.value_i.value = int(rng.integers(1 << 16))
            await RisingEdge(dut.clk_i)

    disturbance = cocotb.start_soon(disturb())
    await write(dut, tables)
    disturbance.cancel()
    dut.lookup_i.value = 0

    board = Scoreboard("entries")
    every = np.concatenate([np.arange(-600, 600), rng.choice(EXTREMES, 40 * columns)])
    values = rng.permutation(np.concatenate([every, every[: -len(every) % columns]])[: len(every) // columns * columns])
    values = values.reshape(-1, columns)
    pending: list[list[int] | None] = [None] * (CYCLES + 1)
    for row in [*values, *[None] * CYCLES]:
        for index in (0, 1) if row is not None else (0,):
            dut.lookup_i.value = int(row is not None)
            if row is not None:
                dut.index_i.value = index
                dut.value_i.value = pack(row, 16)
                expected = tables[index * TABLE_ENTRIES + saturate(row, 10) + TABLE_ENTRIES // 2].tolist()
                board.expect([expected])
            await RisingEdge(dut.clk_i)
            pending = [expected if row is not None else None, *pending[:-1]]
            if pending[-1] is not None:
                board.observe(unpack(int(dut.result_o.value), 8, columns, signed=True))
    board.close()


@cocotb.test()
async def faults_beyond_the_tables(dut):
    for port in ("lookup_i", "index_i", "value_i", "wr_valid_i", "wr_data_i"):
        getattr(dut, port).value = 0
    await clocking.start(dut)
    for address in (2048, 2064, 0x8000_0000, 0xFFFF_FFF0):
        dut.wr_valid_i.value = 1
        dut.wr_address_i.value = address
        await RisingEdge(dut.clk_i)
        assert dut.wr_ready_o.value == 1
        dut.wr_valid_i.value = 0
        await RisingEdge(dut.clk_i)
        assert dut.wr_fault_o.value == 1
        await RisingEdge(dut.clk_i)
        assert dut.wr_fault_o.value == 0


@pytest.mark.parametrize("columns", [8, 32])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_gelu_table(columns, seed):
    parameters = {"Lanes": columns}
    assert run_module_test("moesaic_gelu_table", __name__, parameters=parameters, plusargs=parameters, seed=seed) == 2
