"""The LZ4 encoder that stands in for the library in waveform files: what it writes decodes to what went in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.sim.fst import decompress_lz4

HEADER_DIRECTORY = Path(__file__).resolve().parents[3] / "sim" / "machines" / "fst"
PROGRAM = r"""
#include <lz4.h>
#include <cstdio>
int main() {
  std::vector<char> in, out;
  for (int c; (c = std::getchar()) != EOF;) in.push_back(char(c));
  out.resize(size_t(LZ4_compressBound(int(in.size()))));
  const int size = LZ4_compress_default(in.data(), out.data(), int(in.size()), int(out.size()));
  std::fwrite(out.data(), 1, size_t(size), stdout);
  return size > int(out.size()) || LZ4_compress_default(in.data(), out.data(), int(in.size()), int(out.size()) - 1) != 0;
}
"""


@pytest.fixture(scope="module")
def compress(tmp_path_factory):
    directory = tmp_path_factory.mktemp("lz4")
    (directory / "compress.cpp").write_text(PROGRAM)
    command = ["g++", "-std=c++17", "-O1", "-fsanitize=address,undefined", f"-I{HEADER_DIRECTORY}", "-o"]
    subprocess.run([*command, directory / "compress", directory / "compress.cpp"], check=True)
    return lambda data: subprocess.run([directory / "compress"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a",
        b"abcd" * 2,
        b"abcd" * 3,
        b"abcd" * 4 + b"x",
        bytes(12),
        bytes(13),
        bytes(100_000),
        bytes(range(256)) * 300,
    ],
    ids=["empty", "1", "8", "12", "17", "12 zeros", "13 zeros", "100000 zeros", "ramps"],
)
def test_corners(compress, data):
    assert decompress_lz4(compress(data)) == data


@pytest.mark.parametrize("seed", range(6), ids=lambda s: f"seed{s}")
def test_random_data(compress, seed):
    """From noise to long runs, with matches farther apart than an offset can say."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256 >> seed, rng.integers(1, 3000), np.uint8).tobytes()
    data = noise + bytes(rng.integers(0, 600)) + noise + rng.integers(0, 256, 70_000, np.uint8).tobytes() + noise
    assert decompress_lz4(compress(data)) == data


def test_repetition_gets_short(compress):
    assert len(compress(b"0123456789abcdef" * 1000)) < 150
