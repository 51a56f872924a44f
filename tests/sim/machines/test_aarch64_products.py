"""The emulator's products on a board's processor: compiled by Zig's clang for aarch64 and run by Unicorn, instruction by instruction."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from moesaic.hls.hardware.accelerator_sources import CPP_DIRECTORY
from moesaic.hls.hardware.generated_files import cpp_configuration
from moesaic.spec.configuration import load_configuration

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("ziglang", "unicorn")),
    reason="ziglang and unicorn, which `make test-aarch64` fetches",
)

TINY, ZCU104 = load_configuration("tiny"), load_configuration("zcu104")
PROCESSORS = {"cortex_a53": "of the ZCU104: no instruction for dot products", "cortex_a76": "has one"}
PROGRAM = """
#include "native_array.hpp"
using namespace moesaic;
extern "C" void products(const int8_t *values, uint32_t pitch, int rows, const uint8_t *const *words, uint32_t steps,
                         int32_t (*sums)[TILE_COLUMNS]) {
  int32_t offsets[12];
  for (int r = 0; r < rows; r++) offsets[r] = native::row_offset<native::Best>(values + r * pitch, steps * TILE_DEPTH);
  native::multiply_tile<native::Best>(values, pitch, offsets, rows, words, steps, sums);
}
__attribute__((used)) auto kept = &products;
int main() { return 0; }
"""
PITCH = 4096
STACK, STACK_BYTES = 0x4000000, 0x100000
VALUES, WORDS, POINTERS, SUMS, DATA_BYTES = 0x8000000, 0x8100000, 0x8200000, 0x8300000, 0x400000
RETURN = 0x3000
_LOAD, _SYMBOLS = 1, 2  # ELF: type of a program header, type of a section


@dataclass
class Executable:
    """A static ELF64. segments: address to bytes. functions: name to address."""

    segments: dict[int, bytes]
    functions: dict[str, int]


def read_executable(path: Path) -> Executable:
    data = path.read_bytes()
    programs, sections = struct.unpack_from("<QQ", data, 32)
    (program_count,), (section_count,) = struct.unpack_from("<H", data, 56), struct.unpack_from("<H", data, 60)
    result = Executable({}, {})
    for index in range(program_count):
        kind, _, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, programs + 56 * index)
        if kind == _LOAD:
            result.segments[address] = data[offset : offset + size]
    for index in range(section_count):
        _, kind, _, _, offset, size, link, _, _, _ = struct.unpack_from("<IIQQQQIIQQ", data, sections + 64 * index)
        if kind == _SYMBOLS:
            (names,) = struct.unpack_from("<Q", data, sections + 64 * link + 24)
            for place in range(offset, offset + size, 24):
                name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", data, place)
                result.functions[data[names + name : data.index(b"\0", names + name)].decode()] = value
    return result


class Processor:
    """An emulated aarch64 core with a program in its memory."""

    def __init__(self, executable: Executable) -> None:
        import unicorn
        from unicorn import arm64_const as names

        self.names = names
        self.core = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        self.core.ctl_set_cpu_model(names.UC_CPU_ARM64_MAX)
        self.core.mem_map(0x1000000, 0x800000)
        self.core.mem_map(STACK, STACK_BYTES)
        self.core.mem_map(VALUES, DATA_BYTES)
        for address, content in executable.segments.items():
            self.core.mem_write(address, content)
        self.core.reg_write(names.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # allow vector instructions
        self.entry = executable.functions["products"]

    def products(self, values: np.ndarray, words: np.ndarray) -> np.ndarray:
        """values: int8 [rows, PITCH]. words: int8 [steps, columns, depth]. Returns int32 [rows, columns]."""
        (rows, _), (steps, columns, depth) = values.shape, words.shape
        self.core.mem_write(VALUES, values.tobytes())
        self.core.mem_write(WORDS, words.tobytes())
        self.core.mem_write(POINTERS, struct.pack(f"<{steps}Q", *(WORDS + columns * depth * k for k in range(steps))))
        self.core.mem_write(SUMS, b"\xa5" * (4 * rows * columns))
        for register, value in enumerate((VALUES, PITCH, rows, POINTERS, steps, SUMS)):
            self.core.reg_write(self.names.UC_ARM64_REG_X0 + register, value)
        self.core.reg_write(self.names.UC_ARM64_REG_SP, STACK + STACK_BYTES - 256)
        self.core.reg_write(self.names.UC_ARM64_REG_LR, RETURN)
        self.core.emu_start(self.entry, RETURN)
        return np.frombuffer(self.core.mem_read(SUMS, 4 * rows * columns), np.int32).reshape(rows, columns)


@pytest.mark.parametrize("configuration", [TINY, ZCU104], ids=lambda configuration: configuration.name)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_products_are_exact(processor, configuration, tmp_path):
    c = configuration
    (tmp_path / "configuration.hpp").write_text(cpp_configuration(c))
    (tmp_path / "program.cpp").write_text(PROGRAM)
    command = [
        sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-musl", f"-mcpu={processor}", "-std=c++14", "-O3",
        "-static", "-fno-sanitize=all", "-I", str(tmp_path), "-I", str(CPP_DIRECTORY),
    ]  # fmt: skip
    subprocess.run([*command, "program.cpp", "-o", "program"], cwd=tmp_path, check=True)
    core, rng = Processor(read_executable(tmp_path / "program")), np.random.default_rng(0)
    for rows in (1, 5, 12):
        for steps in (1, 7, 48):
            values = rng.integers(-128, 128, (rows, PITCH), dtype=np.int8)
            words = rng.integers(-128, 128, (steps, c.tile_columns, c.tile_depth), dtype=np.int8)
            if rows == 5:
                values[:], words[:] = -128, -128
            parts = values[:, : steps * c.tile_depth].reshape(rows, steps, c.tile_depth).astype(np.int64)
            expected = np.einsum("rkd,kcd->rc", parts, words.astype(np.int64))
            assert np.array_equal(core.products(values, words), expected), (rows, steps)
