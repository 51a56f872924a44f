"""Single banks of the activation memory: the bytes of a write, the two registers of a read, and that these hold without a read."""

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.clocking import CLOCK_PERIOD_STEPS
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test

CYCLES = 3_000
BLOCK_SIZES, ULTRA_SIZES = {"TileColumns": 8, "Words": 128}, {"TileColumns": 8, "Words": 1024}
"""Those of the design which mutants are made of, so that a mutant of a bank's netlist can be tried here."""


@cocotb.test()
async def a_bank(dut):
    rng = random_generator()
    words, word_bytes = (int(cocotb.plusargs[name]) for name in ("Words", "WordBytes"))
    Clock(dut.clk_i, CLOCK_PERIOD_STEPS, unit="step").start()
    memory = [bytearray(word_bytes) for _ in range(words)]
    latched = shown = None
    held = 0
    for cycle in range(CYCLES):
        filling = cycle < words
        written = cycle if filling else int(rng.integers(words))
        enable = filling or rng.random() < 0.5
        strobe = (1 << word_bytes) - 1 if filling else int(rng.integers(1 << word_bytes)) * int(rng.integers(2))
        data = rng.bytes(word_bytes)
        reads = not filling and rng.random() < 0.5
        # a word that is written in the same cycle gives its old or its new bytes, by the kind of memory
        read = int(rng.choice([address for address in range(words) if address != written]))
        dut.wr_enable_i.value, dut.wr_address_i.value = int(enable), written
        dut.wr_data_i.value, dut.wr_strobe_i.value = int.from_bytes(data, "little"), strobe
        dut.rd_enable_i.value, dut.rd_address_i.value = int(reads), read
        await RisingEdge(dut.clk_i)
        if shown is not None:
            assert int(dut.rd_data_o.value) == int.from_bytes(shown, "little"), f"cycle {cycle}"
        held += latched is not None and not reads
        shown = latched
        if reads:
            latched = bytes(memory[read])
        for byte in range(word_bytes):
            if enable and strobe >> byte & 1:
                memory[written][byte] = data[byte]
    assert held > CYCLES // 4


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_block_ram(seed):
    plusargs = {"Words": BLOCK_SIZES["Words"], "WordBytes": 2 * BLOCK_SIZES["TileColumns"]}
    run_module_test("moesaic_act_bank", __name__, parameters=BLOCK_SIZES, plusargs=plusargs, seed=seed)


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_ultra_ram(seed):
    plusargs = {"Words": ULTRA_SIZES["Words"], "WordBytes": 2 * ULTRA_SIZES["TileColumns"]}
    run_module_test("moesaic_act_ultra_bank", __name__, parameters=ULTRA_SIZES, plusargs=plusargs, seed=seed)
