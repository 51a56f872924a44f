"""The C++ as synthesis sees it: clean under strict warnings, and with arbitrary-precision types equal to the emulator."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from moesaic.sim.machines.csim import CsimExecutor, write_sources
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Memory
from moesaic.spec.machine import ReferenceMachine
from tests.sim.instruction_cases import SCENARIOS, Case

TINY = load_configuration("tiny")
DEEP = replace(TINY, name="deep", tile_depth=8)
STRICT = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-label")  # labels name the loops in synthesis reports


def ap_types() -> tuple[str, ...]:
    package = find_spec("hls4ml")
    assert package is not None, "hls4ml, whose ap_types headers stand in for the vendor's, is not installed"
    headers = Path(package.submodule_search_locations[0]) / "templates" / "vivado" / "ap_types"
    return ("-DMOESAIC_AP_TYPES", "-fno-strict-aliasing", "-isystem", str(headers))


@pytest.mark.parametrize("configuration", ["tiny", "zcu104"])
def test_sources_are_clean(configuration, tmp_path):
    write_sources(load_configuration(configuration), tmp_path)
    for path in sorted(tmp_path.glob("*.hpp")):  # every header stands on its own
        (tmp_path / "alone.cpp").write_text(f'#include "{path.name}"\n#include "{path.name}"\n')
        command = ["g++", "-std=c++14", "-fsyntax-only", "-Wno-unused-function", *STRICT, "-Wno-unknown-pragmas"]
        subprocess.run([*command, "alone.cpp"], cwd=tmp_path, check=True)
    for name in ("kernel.cpp", "emulator.cpp"):
        command = ["g++", "-std=c++14", "-O2", "-c", *STRICT, "-Wno-unknown-pragmas", name, "-o", "out.o"]
        subprocess.run(command, cwd=tmp_path, check=True)


@pytest.mark.parametrize("configuration", [TINY, DEEP], ids=lambda configuration: configuration.name)
@pytest.mark.parametrize("scenario", ["matmul_to_act", "matmul_to_weight", "attention", "load"])
def test_packed_products_and_wide_beats(scenario, configuration):
    """Two int8 products per 27-bit multiplier, and DRAM beats as 128-bit integers, over whole instructions."""
    executor = CsimExecutor(configuration, flags=ap_types())
    for seed in range(4):
        case = Case(configuration, np.random.default_rng([seed, *scenario.encode()]))
        SCENARIOS[scenario](case)
        program, memory = case.finish()
        expected = Memory(memory.constants, memory.frame.copy())
        counters = ReferenceMachine(configuration).run(program, expected, 0)
        assert executor.run(program, memory, 0) == counters
        assert np.array_equal(memory.frame, expected.frame)


VECTORS = {"native": (), "scalar": ("-U__SSE2__", "-U__AVX2__", "-U__AVX512VNNI__", "-U__ARM_NEON")}
if platform.machine() == "x86_64":
    VECTORS |= {"avx2": ("-mno-avx512f",), "sse2": ("-mno-avx512f", "-mno-avx2")}
WIDE = replace(DEEP, name="wide", tile_columns=32)


@pytest.mark.parametrize("configuration", [TINY, DEEP, WIDE], ids=lambda configuration: configuration.name)
@pytest.mark.parametrize("vectors", VECTORS)
def test_products_are_the_same_on_every_kind_of_vector(vectors, configuration):
    """The emulator is compiled for the processor at hand; what it computes does not depend on that."""
    executor = CsimExecutor(configuration, flags=VECTORS[vectors])
    for seed, scenario in enumerate(("matmul_to_act", "matmul_to_weight", "attention") * 3):
        case = Case(configuration, np.random.default_rng([seed, *scenario.encode()]))
        SCENARIOS[scenario](case)
        program, memory = case.finish()
        expected = Memory(memory.constants, memory.frame.copy())
        ReferenceMachine(configuration).run(program, expected, 0)
        executor.run(program, memory, 0)
        assert np.array_equal(memory.frame, expected.frame), (scenario, seed)


PACKED = """
#include <cstdio>
#include "packed_dot.hpp"
using namespace moesaic;
static int check(const int8_t *a, const int8_t *low, const int8_t *high) {
  int x = 0, y = 0;
  for (int k = 0; k < TILE_DEPTH; k++) x += a[k] * low[k], y += a[k] * high[k];
  const DotPair pair = packed_dot(a, reinterpret_cast<const uint8_t *>(low), reinterpret_cast<const uint8_t *>(high));
  return pair.low != x || pair.high != y;
}
int main() {
  int wrong = 0, checked = 0;
  const int8_t corner[4] = {-128, -127, 0, 127};
  int8_t a[8], low[8], high[8];
  // All lanes alike: every triple of bytes.
  for (int v = 0; v < 1 << 24; v++, checked++) {
    for (int k = 0; k < 8; k++) a[k] = int8_t(v), low[k] = int8_t(v >> 8), high[k] = int8_t(v >> 16);
    wrong += check(a, low, high);
  }
  // Lanes that differ: pseudo-random bytes, some of them corners.
  uint64_t state = 1;
  for (int v = 0; v < 1000000; v++, checked++) {
    for (int k = 0; k < 24; k++) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const int8_t value = state >> 63 ? int8_t(state >> 40) : corner[state >> 61 & 3];
      (k < 8 ? a : k < 16 ? low : high)[k % 8] = value;
    }
    wrong += check(a, low, high);
  }
  std::printf("%d %d", wrong, checked);
}
"""


def test_packed_dot_is_exact_at_every_corner(tmp_path):
    write_sources(DEEP, tmp_path)
    (tmp_path / "packed.cpp").write_text(PACKED)
    subprocess.run(
        ["g++", "-std=c++14", "-O2", "-Wno-unknown-pragmas", "packed.cpp", "-o", "packed"], cwd=tmp_path, check=True
    )
    output = subprocess.run([tmp_path / "packed"], capture_output=True, text=True, check=True).stdout
    assert output == f"0 {(1 << 24) + 1_000_000}"


def test_top_function(tmp_path):
    """kernel() itself, called as a wrapper would: windows at their bases in one DRAM, same memory, same counters."""
    write_sources(TINY, tmp_path)
    command = ["g++", "-std=c++14", "-O2", "-shared", "-fPIC", "-Wno-unknown-pragmas", "kernel.cpp", "-o", "top.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    top = ctypes.CDLL(str(tmp_path / "top.so")).kernel
    top.restype = None
    for seed in range(3):
        case = Case(TINY, np.random.default_rng(seed))
        SCENARIOS["attention"](case)
        program, memory = case.finish()
        expected = Memory(memory.constants, memory.frame.copy())
        counters = ReferenceMachine(TINY).run(program, expected, 0)
        frame_base = 4096 + (memory.constants.size + 4095) // 4096 * 4096
        dram = np.full(frame_base + memory.frame.size, 0x3C, np.uint8)
        dram[4096 : 4096 + memory.constants.size] = memory.constants
        dram[frame_base:] = memory.frame
        after = dram.copy()
        after[frame_base:] = expected.frame
        outputs = [ctypes.c_uint32(~0) for _ in range(7)]
        top(
            ctypes.c_void_p(dram.ctypes.data),
            ctypes.c_void_p(dram.ctypes.data),
            ctypes.c_uint64(4096),
            ctypes.c_uint32(memory.constants.size),
            ctypes.c_uint64(frame_base),
            ctypes.c_uint32(memory.frame.size),
            ctypes.c_uint32(program.offset),
            ctypes.c_uint32(program.size),
            *map(ctypes.byref, outputs),
        )
        assert [output.value for output in outputs] == [0, 0, 0, *counters.values()]
        assert np.array_equal(dram, after)
