"""What is shown by running a module over all of its operands, in a simulator compiled for nothing else."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import find_verilator

PROGRAM = Path(__file__).with_name("reciprocal_of_all.cpp")


def reciprocal_of_21_bits() -> int:
    """moesaic_reciprocal of every value below 2**21, as route has it with 16 experts, against the definition in integers."""
    return _reciprocal(21)


def reciprocal_of_23_bits() -> int:
    """moesaic_reciprocal of every value below 2**23, as softmax has it, against the definition in integers."""
    return _reciprocal(23)


def _reciprocal(width: int) -> int:
    """The number of values. AssertionError at the first that differs."""
    verilator, top = find_verilator(), "moesaic_reciprocal"
    sources = source_closure(top, [RTL_DIRECTORY])
    with tempfile.TemporaryDirectory(prefix="exhaustion-") as directory:
        command = [
            verilator.executable, "--cc", "--exe", "--build", "-O3", "--Mdir", directory, "--top", top, f"-GWidth={width}",
            "-CFLAGS", f"-DWIDTH={width} -O2", *sources, PROGRAM,
        ]  # fmt: skip
        environment = {**verilator.environment(), "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include"}
        built = subprocess.run(
            list(map(os.fspath, command)), env=environment, capture_output=True, text=True, check=False
        )
        assert not built.returncode, (built.stdout + built.stderr).strip().splitlines()[-1]
        run = subprocess.run([Path(directory) / f"V{top}"], capture_output=True, text=True, check=False)
    assert not run.returncode, run.stdout.strip()
    return int(run.stdout)


EXHAUSTIONS = {
    "reciprocal_of_21_bits": reciprocal_of_21_bits,
    "reciprocal_of_23_bits": reciprocal_of_23_bits,
}
"""Name to a function that raises AssertionError at a difference, and returns how many cases it looked at."""
SOURCES = (PROGRAM, RTL_DIRECTORY / "moesaic_reciprocal.sv")
