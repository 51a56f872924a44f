"""Environment and arguments that start a compiled simulator with cocotb inside."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from moesaic.errors import UserError
from moesaic.installation import how_to_install
from moesaic.sim.machines.coverage_data import coverage_arguments


def cocotb_environment(
    top: str, test_module: str, results: Path, seed: int, testcase: str | None = None
) -> dict[str, str]:
    """Return the process environment in which a simulator built by `moesaic.sim.machines.verilator.build` runs `test_module`.

    Args:
        top: name of the top module.
        test_module: importable name of the module with the `@cocotb.test()` coroutines.
        results: JUnit file that cocotb writes when the simulation ends.
        seed: seeds Python's `random` in the simulation; tests read it as `cocotb.RANDOM_SEED`.
        testcase: run only the coroutine with this name; None runs them all.

    Raises:
        UserError: Python's shared library or cocotb is missing.
    """
    try:
        import find_libpython
        from cocotb_tools import config
    except ImportError:
        raise UserError(
            f"cocotb is missing: RTL simulation needs it; get it with: {how_to_install('cocotb')}"
        ) from None
    library = find_libpython.find_libpython()
    if library is None:
        raise UserError("the shared libpython is missing: cocotb needs it; get it with: apt-get install libpython3-dev")

    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{library};{config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": top,
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TEST_MODULES": test_module,
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_RESULTS_FILE": str(results),
        # Verilator already applies writes at the right point; this setting lets cocotb use its clock written in C++.
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
    }
    if testcase is not None:
        environment["COCOTB_TEST_FILTER"] = rf"\.{testcase}$"
    return environment


def simulator_arguments(seed: int, plusargs: Mapping[str, object] | None = None) -> list[str]:
    """Return a simulator's command-line arguments; registers, and memories word by word, start as noise drawn from `seed`.

    plusargs: name to value; the coroutines read them as strings in `cocotb.plusargs`.
    """
    # Verilator takes a 31-bit seed; 0 would let it choose one itself.
    verilator_seed = seed % (2**31 - 1) + 1
    extra = (f"+{name}={value}" for name, value in (plusargs or {}).items())
    return ["+verilator+rand+reset+2", f"+verilator+seed+{verilator_seed}", *coverage_arguments(), *extra]
