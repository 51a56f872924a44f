"""The command `moesaic selftest`: memory, registers, interrupts, every task, DRAM rates and power of a machine, in one report."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from moesaic.files import require_file_writable, write_file
from moesaic.host.commands.build_options import add_build, add_run_options, chosen_tasks
from moesaic.host.executors import checked_max_cycles, choose_executor, make_executor, require_fingerprint
from moesaic.host.selftest import (
    FAILED,
    NOT_MEASURED,
    Check,
    Machine,
    checks_of,
    report_of,
    require_bundle_of,
    run_check,
)
from moesaic.pages.number_formats import count
from moesaic.spec.build import load_build
from moesaic.spec.bundle import load_bundle

EXIT_FAILED = 1
_BAR = 24


def _environment() -> dict:
    """Where the report was made, as JSON values."""
    try:
        model = Path("/proc/device-tree/model").read_text(errors="replace").rstrip("\0\n")
    except OSError:
        model = None
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "board": model,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pynq": _version("pynq"),
        "moesaic": _version("moesaic"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _line(check: Check, width: int) -> str:
    """width: characters of the longest check's name."""
    told = check.detail or ", ".join(_figures(check.figures))
    return f"{check.name:<{width + 2}}{check.state:<14}{told}"


def _figures(figures: dict) -> list[str]:
    """The figures that a line has room for."""
    told = []
    for name, value in figures.items():
        if name in ("read", "write"):
            told.append(f"{name} {value['bytes_per_cycle']:.2f} bytes a cycle")
            if "megabytes_per_second" in value:
                told.append(f"{value['megabytes_per_second']:,.0f} MB/s")
        elif name == "counters":
            told += [f"{value['cycles']:,} cycles"] if "cycles" in value else []
        elif name == "watts":
            told += [f"{rail} {watts:.3f} W" for rail, watts in value.items()]
        elif isinstance(value, int):
            told.append(f"{count(value)} {name}")
        elif isinstance(value, str):
            told.append(f"{name} {value}")
    return told


class _Progress:
    """A bar on stderr, on a terminal only; print() puts a line above it."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._shown = total, 0, sys.stderr.isatty()

    def begin(self, name: str) -> None:
        if self._shown:
            full = _BAR * self._done // self._total
            print(f"\r\033[K[{'#' * full}{'.' * (_BAR - full)}] {name}", end="", file=sys.stderr, flush=True)

    def end(self, line: str) -> None:
        self._done += 1
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(line, flush=True)


def run_checks(checks: dict[str, Callable[[], dict]]) -> list[Check]:
    """Run them in order, printing a line for each."""
    progress, results = _Progress(len(checks)), []
    width = max(map(len, checks))
    for name, check in checks.items():
        progress.begin(name)
        results.append(run_check(name, check))
        progress.end(_line(results[-1], width))
    return results


class SelftestCommand:
    """Tests a machine."""

    name = "selftest"
    help = "test a machine: memory, registers, interrupts, every task against the reference, DRAM rates and power"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        add_run_options(parser)
        parser.add_argument(
            "--bundle",
            type=Path,
            help="compare tasks with its golden vectors, which is faster than the reference machine",
        )
        parser.add_argument("--json", type=Path, help="write the report to this file, too")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Returns 0 if nothing failed, 1 otherwise; what an executor cannot show is not measured and no failure."""
        max_cycles = checked_max_cycles(arguments.max_cycles)
        build = load_build(arguments.build)
        names = chosen_tasks(build, arguments.tasks)
        bundle = None if arguments.bundle is None else load_bundle(arguments.bundle)
        if bundle is not None:
            require_bundle_of(build, bundle)
        if arguments.json is not None:
            require_file_writable(arguments.json)
        executor_name = arguments.executor
        if executor_name == "auto":
            executor_name, _ = choose_executor(arguments.build, build)
        executor = make_executor(executor_name, arguments.build, build)
        try:
            require_fingerprint(executor, executor_name, build)
            machine = Machine(executor, build, executor_name, max_cycles)
            print(f"{build.name} ({build.fingerprint}) on the {executor_name}")
            checks = run_checks(checks_of(machine, names, bundle))
        finally:
            executor.close()
        report = report_of(machine, checks, _environment())
        if arguments.json is not None:
            write_file(arguments.json, (json.dumps(report, indent=1) + "\n").encode())
        failed = [check.name for check in checks if check.state == FAILED]
        skipped = sum(check.state == NOT_MEASURED for check in checks)
        passed = len(checks) - len(failed) - skipped
        print(
            f"{passed} passed, {len(failed)} failed, {skipped} not measured"
            + (f": {', '.join(failed)}" if failed else "")
        )
        return EXIT_FAILED if failed else 0
