"""What becomes of one mutant on the workload: which step notices it, and how."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moesaic.caches import cache_directory
from moesaic.campaign.kept_results import kept_result
from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from moesaic.spec.executor import MachineFault
from tests.verify.mutation.simulations import SimulationServer, build_mutants
from tests.verify.mutation.workload import MAX_CYCLES, Counters, Step, configuration, steps
from tests.verify.python_sources import python_sources

TIMINGS = (1, None)
"""Random DRAM timing, which finds more, and the fixed one, with which the cycles count, too. See RtlExecutor's random_seed."""
_POWER_UP = {1: 1, None: 2}
_PATIENCE, _SLACK = 4, 3_000
"""A run that takes so many times its cycles, and so many more, has failed."""
_LIMIT = "limit "
_JUDGED_FIRST = {
    "moesaic_isa_pkg": _LIMIT,
    "moesaic_fetch": _LIMIT,
    "moesaic_control": "registers",
    "moesaic_kernel_control": "registers",
}
"""What comes first for mutants of these modules, by the beginning of its name. Only they need the limits of fields, on one timing."""


@dataclass(frozen=True)
class Verdict:
    """step: the one that noticed, "" if none did. how: what was wrong then."""

    step: str
    how: str


class MutantSimulator:
    """A design with many mutants, compiled and started, for all timings.

    write: makes a directory with it. Raises InternalError if the design without any mutant fails a step already.
    """

    def __init__(self, write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
            rtl = Path(scratch) / "rtl"
            write(rtl)
            executable = build_mutants(rtl, configuration())
        self._servers = {timing: SimulationServer(executable, seed) for timing, seed in _POWER_UP.items()}
        key = hashlib.sha256(f"{executable.parent.name} {workload_digest()}".encode()).hexdigest()[:16]
        right = kept_result(cache_directory("mutants") / f"{key}.json", self._unbroken)
        self._right: dict[int | None, dict[str, Counters]] = dict(zip(TIMINGS, right))

    def verdict(self, number: int, module: str) -> Verdict:
        """Run the mutant of this number, a change of that module, until a step notices it. 0 has no change."""
        for timing in TIMINGS:
            found = self._on(timing, number, _ordered(module, timing), self._right[timing])
            if found.step:
                return found
        return Verdict("", "")

    def _on(self, timing: int | None, number: int, ordered: list[Step], right: Mapping[str, Counters]) -> Verdict:
        how, step = "", None
        try:
            with self._executor(timing, number) as executor:
                for step in ordered:
                    counters = right[step.name]
                    how, found = step.run(executor, _PATIENCE * counters.get("cycles", 0) + _SLACK)
                    if timing is None and not how:
                        how = _different_counter(found, counters)
                    if how:
                        break
        except MachineFault as fault:
            how = f"{fault.cause.name} in the {fault.unit} unit"
        except InternalError as error:
            how = _summary(str(error))
        except AssertionError as error:
            how = _summary(str(error)) or "assertion"
        name = step.name if step else "reset"
        dram = "fixed timing" if timing is None else "random timing"
        return Verdict(f"{name}, {dram}", how) if how else Verdict("", "")

    def _executor(self, timing: int | None, number: int) -> RtlExecutor:
        start = functools.partial(self._servers[timing].start, number)
        return RtlExecutor(RTL_DIRECTORY, configuration(), random_seed=timing, start=start)

    def _unbroken(self) -> list[dict[str, Any]]:
        """By timing, the counters of each step's run. InternalError if a step fails."""
        everything: list[dict[str, Any]] = []
        for timing in TIMINGS:
            with self._executor(timing, 0) as executor:
                found: dict[str, Any] = {}
                for step in _ordered("moesaic_fetch", timing):
                    how, counters = step.run(executor, MAX_CYCLES)
                    if how:
                        raise InternalError(f"the design without a mutant fails already: {step.name}: {how}")
                    found[step.name] = dict(counters)
            everything.append(found)
        return everything

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


@functools.cache
def workload_digest() -> str:
    """Depends on what mutants are run on, and how: every module that this one and the server of simulations are made of."""
    return content_hash(python_sources([Path(__file__), Path(__file__).with_name("fork_server.py")]))


def _ordered(module: str, timing: int | None) -> list[Step]:
    first = _JUDGED_FIRST.get(module, "\0")
    limits = first == _LIMIT and timing is not None
    at_reset, *others = [step for step in steps() if limits or not step.name.startswith(_LIMIT)]
    return [at_reset, *sorted(others, key=lambda step: not step.name.startswith(first))]


def _different_counter(found: Counters, right: Counters) -> str:
    for name, value in right.items():
        if found.get(name) != value:
            return f"counter {name} is {found.get(name)}, {value} without the mutant"
    return ""


def _summary(text: str) -> str:
    """Of an error with a log, the line that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "%Error" in line or "Fatal" in line or "rror:" in line]
    return (telling or lines or [""])[0][:200]
