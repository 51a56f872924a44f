"""Directories of SystemVerilog: the accelerator, the simulated system around it, and the benches of single units."""

from __future__ import annotations

from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY

_SIM = Path(__file__).parents[1]
SYSTEM_DIRECTORY = _SIM / "machines" / "rtl"
"""The test bench around the accelerator, including the DRAM model."""
COVERAGE_DIRECTORY = SYSTEM_DIRECTORY / "coverage"
"""What the test bench has besides while coverage is collected. It names what lies inside of the accelerator: nothing of it stands alone."""
BENCH_DIRECTORY = _SIM / "bench_kit" / "rtl"
"""Benches of single units."""
RTL_DIRECTORIES = (RTL_DIRECTORY, SYSTEM_DIRECTORY, BENCH_DIRECTORY)
