"""What a memory holds that nobody has written: noise, another word at every address, another for every seed."""

from __future__ import annotations

import json
from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.runner import run_module_test

DESIGNS = Path(__file__).parent / "designs"
WORDS = 64
MEMORIES = ("narrow", "middle", "wide")


@cocotb.test()
async def reads_all(dut) -> None:
    await clocking.start(dut)
    found: dict[str, list[int]] = {name: [] for name in MEMORIES}
    for address in range(WORDS + 2):
        dut.address_i.value = address % WORDS
        await RisingEdge(dut.clk_i)
        if address >= 2:
            for name, words in found.items():
                words.append(int(getattr(dut, f"{name}_o").value))
    Path(cocotb.plusargs["found"]).write_text(json.dumps(found))


def held(directory: Path, seed: int) -> dict[str, list[int]]:
    """The words of each memory at power-up, by address."""
    path = directory / "found.json"
    run_module_test(
        "unwritten_memories", __name__, parameters={"Words": WORDS}, plusargs={"found": path}, seed=seed,
        rtl_directories=[DESIGNS],
    )  # fmt: skip
    return json.loads(path.read_text())


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed{seed}")
def test_words_differ_by_address_and_by_seed(tmp_path: Path, seed: int) -> None:
    one, again, other = (held(tmp_path, number) for number in (seed, seed, seed + 100))
    assert one == again
    for name in MEMORIES:
        # 64 draws of 256 values have 57 different ones on average.
        assert len(set(one[name])) > WORDS // 2, name
        assert sum(a == b for a, b in zip(one[name], other[name])) < WORDS // 8, name
        longest = max(word.bit_length() for word in one[name])
        assert longest > {"narrow": 7, "middle": 44, "wide": 96}[name], name
