"""The campaign: every mutant on the workload, then what that let pass on the tests of its module, then the proof that it is equivalent."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.workers import OpenWorkers
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from tests.verify.mutation.designs import Design, method
from tests.verify.mutation.report import Judged
from tests.verify.mutation.survivors import Survivor, look_closer
from tests.verify.mutation.verdicts import MutantSimulator, workload_digest


def judge(
    designs: Sequence[Design], numbers: Sequence[Sequence[int]], workers: OpenWorkers, kept: Path, console: Console
) -> Iterator[Judged]:
    """Yield what becomes of the mutants of these numbers in each design, those that the workload notices first.

    kept: directory of results. Raises what run_campaign raises.
    """
    rtl = {"rtl": _sources_digest(RTL_DIRECTORY), "system": _sources_digest(SYSTEM_DIRECTORY)}
    basis = {**rtl, "workload": workload_digest()}
    mutants = {(design, number): design.mutants()[number] for design, here in zip(designs, numbers) for number in here}
    cases = {
        (design, number): Case(
            content_key({**basis, "design": method(design.source), "mutant": mutant.name}),
            mutant.name,
            on_workload,
            (design, number, mutant.module),
        )
        for (design, number), mutant in mutants.items()
    }
    place = {id(case): where for where, case in cases.items()}
    passed: list[Survivor] = []
    for outcome in run_campaign(cases.values(), workers, kept=kept, console=console, title="mutants", total=len(cases)):
        design, number = place[id(outcome.case)]
        mutant = mutants[design, number]
        result = outcome.checked()  # a design that does not compile, or fails without a mutant, says nothing of mutants
        if result["step"]:
            yield Judged(design.source, mutant, "killed", result["step"], result["how"])
        else:
            passed.append((design.source, mutant))
    beside = {
        source: [mutant for design in designs if design.source == source for mutant in design.mutants().values()]
        for source in {design.source for design in designs}
    }
    yield from look_closer(passed, beside, rtl, workers, kept, console)


def on_workload(design: Design, number: int, module: str) -> dict[str, str]:
    """The verdict on one mutant."""
    verdict = _simulator(design).verdict(number, module)
    return {"step": verdict.step, "how": verdict.how}


@functools.lru_cache(maxsize=1)
def _simulator(design: Design) -> MutantSimulator:
    """The one of this design; a process has one at a time."""
    return MutantSimulator(design.write)


def _sources_digest(directory: Path) -> str:
    return content_hash(sorted(directory.glob("*.sv")))
