"""The HLS C++ is of the subset that Vitis accepts, as far as a checker of its text can tell; and the checker notices what is not."""

from __future__ import annotations

import pytest

from moesaic.hls.vendor.vitis.project import kernel_sources
from moesaic.spec.configuration import load_configuration
from tests.hls.vitis.subset import findings

SOURCES = kernel_sources(load_configuration("tiny"))


def test_the_kernel_is_of_the_subset() -> None:
    assert findings(SOURCES) == []


BREAKS = {
    "an unknown pragma": ("store.hpp", "#pragma HLS PIPELINE II=1", "#pragma HLS PIPELINED II=1", "unknown pragma HLS PIPELINED"),
    "an unknown option": ("kernel.cpp", "offset=off", "start=off", "INTERFACE has no option start"),
    "a value that is not taken": ("kernel.cpp", "impl=uram", "impl=dram", "BIND_STORAGE takes no impl=dram"),
    "a pipeline without II": ("store.hpp", "PIPELINE II=1", "PIPELINE", "PIPELINE lacks II"),
    "a pipeline without reason": ("store.hpp", "// II=1: a beat", "// a beat", "no comment `II=1: why`"),
    "a reason for another II": ("store.hpp", "#pragma HLS PIPELINE II=1", "#pragma HLS PIPELINE II=2", "no comment `II=2: why`"),
    "a loop without label": ("store.hpp", "store_beats:\n", "", "the loop has no label"),
    "dynamic memory": ("store.hpp", "const uint32_t beats = f.bytes", "new int; const uint32_t beats = f.bytes", "dynamic memory"),
    "floating point": ("store.hpp", "const uint32_t beats", "const float beats", "floating point"),
    "an open width": ("store.hpp", "const uint32_t beats", "const unsigned beats", "width is open"),
    "the standard library": ("store.hpp", '#include "machine.hpp"', "#include <vector>", "<vector> is included"),
    "an array left to the tool": (
        "kernel.cpp", "#pragma HLS BIND_STORAGE variable=machine.weight.lane type=ram_2p impl=uram\n", "",
        "machine.weight.lane is neither bound",
    ),
    "registers that are a RAM": (
        "matmul.hpp", "#pragma HLS ARRAY_PARTITION variable=maximum type=complete\n", "", "maximum is neither bound",
    ),
    "a partition of too few dimensions": (
        "matmul.hpp", "variable=accumulators.sum type=complete dim=0", "variable=accumulators.sum type=complete dim=1",
        "accumulators.sum is neither bound",
    ),
    "a ROM without a place": (
        "exp2.hpp", "#pragma HLS BIND_STORAGE variable=EXP2_TABLE type=rom_np impl=lutram\n", "", "EXP2_TABLE is neither bound",
    ),
    "a dependence on what is not there": (
        "softmax.hpp", "DEPENDENCE variable=act.ultra", "DEPENDENCE variable=act.super", "act.super, which is no array of softmax_row",
    ),
    "a dependence on another function's name": (
        "matmul.hpp", "DEPENDENCE variable=machine.act.ultra", "DEPENDENCE variable=act.ultra", "act.ultra, which is no array of",
    ),
    "a partition of what is not there": (
        "kernel.cpp", "variable=machine.queue.count ", "variable=machine.queue.counts ", "which is no array of kernel",
    ),
    "a memory read and written without a word": (
        "matmul.hpp", "#pragma HLS DEPENDENCE variable=machine.act.ultra type=inter dependent=false\n", "",
        "reads and writes ActMemory.ultra without DEPENDENCE",
    ),
    "the same in another unit": (
        "layer_norm.hpp", "#pragma HLS DEPENDENCE variable=act.block type=inter dependent=false\n", "",
        "reads and writes ActMemory.block without DEPENDENCE",
    ),
    "a pointer in a struct": (
        "control.hpp", "struct RunInputs {\n", "struct RunInputs {\n  const Beat *load_constants;\n",
        "struct RunInputs holds a pointer, to which a reference points [HLS 214-134]",
    ),
    "a reference to a pointer": ("fetch.hpp", "const Beat *constants, uint64_t", "const Beat *&constants, uint64_t", "[HLS 214-134]"),
    "an array of pointers": ("load.hpp", "  if (f.destination ==", "  const Beat *windows[2];\n  if (f.destination ==", "[HLS 214-134]"),
    "a static object in UltraRAM": (
        "kernel.cpp", "  Machine machine;\n", "  static Machine machine;\n", "machine is static, and UltraRAM takes no initial values",
    ),
    "a first beat that may wrap": (
        "load.hpp", "const uint64_t first = run.dram / BEAT_BYTES", "const uint32_t first = uint32_t(run.dram / BEAT_BYTES)",
        "first, which indexes window, may wrap, so that no burst is made [HLS 214-229]",
    ),
    "a count of beats that may wrap": (
        "store.hpp", "for (uint64_t i = 0; i < beats", "for (uint32_t i = 0; i < beats", "i, which indexes frame, may wrap",
    ),
    "a division in an index": (
        "fetch.hpp", "constants[first + i]", "constants[position / BEAT_BYTES + i]", "is no sum, so that no burst is made [HLS 214-229]",
    ),
    "a chain that becomes a tree": (
        "packed_dot.hpp", "#pragma HLS EXPRESSION_BALANCE off\n", "", "packed_dot chains products, and lacks EXPRESSION_BALANCE off",
    ),
    "recursion": ("isqrt.hpp", "uint32_t root = 0;", "uint32_t root = value ? isqrt(0) : 0;", "isqrt is recursive"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_the_checker_notices(name: str) -> None:
    file, old, new, message = BREAKS[name]
    assert old in SOURCES[file]
    found = findings({**SOURCES, file: SOURCES[file].replace(old, new)})
    assert any(message in finding for finding in found), found
