"""Run a cocotb test module against one SystemVerilog module: build it (cached), simulate it, and report failures to pytest."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from moesaic.sim.machines.cocotb_process import cocotb_environment, simulator_arguments
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import build

_LOG_TAIL_LINES = 60


class ModuleTestFailure(AssertionError):
    """A coroutine test failed, no test ran, or the simulator died or hung; the message ends with the tail of the log."""


def run_module_test(
    module: str,
    test_module: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    seed: int = 0,
    testcase: str | None = None,
    plusargs: Mapping[str, object] | None = None,
    rtl_directories: Sequence[Path] = RTL_DIRECTORIES,
    cpp_sources: Sequence[Path] = (),
    public: Sequence[str] = ("*",),
    waves: bool = False,
    timeout_seconds: float = 300.0,
) -> int:
    """Build `module`, run the coroutine tests in `test_module` on it, and return how many passed.

    Args:
        module: name of the top module; `<module>.sv` and the files that it needs are looked up in `rtl_directories`.
        test_module: importable name, usually the `__name__` of the pytest file itself.
        parameters: values of the module's parameters. Coroutines do not see these; pass what they need in `plusargs`.
        seed: seeds `random`, numpy through `moesaic.sim.bench_kit.random_values.random_generator`, and the initial contents of
            all registers.
        testcase: run only the coroutine with this name; None runs all of `test_module`.
        plusargs: passed to the coroutines, as strings in `cocotb.plusargs`.
        rtl_directories: directories of SystemVerilog files; the earliest wins where two hold the same name.
        cpp_sources: C++ files with imported DPI functions.
        public: patterns of the module's own signals that coroutines may access; simulation is fastest with ports alone.
        waves: write a waveform, `waves.fst`, next to the executable.
        timeout_seconds: limit in wall-clock seconds, for a simulator that hangs without advancing its clock.

    Raises:
        ModuleTestFailure: a test failed, no test ran, or the simulator died or hung.
        UserError: a tool or a source file is missing, or the design rejects its parameters.
        InternalError: the design does not compile.
    """
    executable = build(
        module,
        source_closure(module, rtl_directories),
        parameters=parameters,
        cpp_sources=cpp_sources,
        public=public,
        trace=waves,
    )
    command = [str(executable), *simulator_arguments(seed, plusargs)]
    if waves:
        command += ["--trace", "--trace-file", str(executable.parent / "waves.fst")]
    with tempfile.TemporaryDirectory(prefix="cocotb-") as scratch:
        results = Path(scratch) / "results.xml"
        log = Path(scratch) / "simulation.log"
        with log.open("wb") as stream:
            try:
                status = subprocess.run(
                    command,
                    env=cocotb_environment(module, test_module, results, seed, testcase),
                    cwd=scratch,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    timeout=timeout_seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = None
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
        what = f"{module} (seed {seed}, parameters {dict(parameters or {})})"
        if status is None:
            raise ModuleTestFailure(f"{what}: no end after {timeout_seconds} s of wall clock\n{tail}")
        if not results.exists():
            raise ModuleTestFailure(f"{what}: the simulator died with status {status}\n{tail}")
        passed, failed = _count(results)
    if failed or not passed or status != 0:
        raise ModuleTestFailure(f"{what}: {passed} tests passed, {failed} failed, exit status {status}\n{tail}")
    return passed


def _count(results: Path) -> tuple[int, int]:
    passed = failed = 0
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        else:
            passed += 1
    return passed, failed
