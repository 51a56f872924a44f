"""The campaign: every mutant on the workload, then what that let pass on the tests of its module, then the proof that it is equivalent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.workers import OpenWorkers
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from tests.verify.mutation.designs import Design
from tests.verify.mutation.equivalence import proved_equivalent
from tests.verify.mutation.module_tests import failing_test, tests_of
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.report import Judged
from tests.verify.mutation.verdicts import simulator, workload_digest


def judge(
    designs: Sequence[Design], numbers: Sequence[Sequence[int]], workers: OpenWorkers, kept: Path, console: Console
) -> Iterator[Judged]:
    """Yield what becomes of the mutants of these numbers in each design, those that the workload notices first.

    kept: directory of results. Raises what run_campaign raises.
    """
    basis = {
        "rtl": _sources_digest(RTL_DIRECTORY),
        "system": _sources_digest(SYSTEM_DIRECTORY),
        "workload": workload_digest(),
    }
    mutants = {(design, number): design.mutants()[number] for design, here in zip(designs, numbers) for number in here}
    cases = {
        (design, number): Case(
            content_key({**basis, "mutant": mutant.name, "source": design.source}),
            mutant.name,
            on_workload,
            (design, number, mutant.module),
        )
        for (design, number), mutant in mutants.items()
    }
    place = {id(case): where for where, case in cases.items()}
    passed: list[tuple[Design, Mutation]] = []
    for outcome in run_campaign(cases.values(), workers, kept=kept, console=console, title="mutants", total=len(cases)):
        design, number = place[id(outcome.case)]
        mutant = mutants[design, number]
        result = outcome.checked()  # a design that does not compile, or fails without a mutant, says nothing of mutants
        if result["step"]:
            yield Judged(design.source, mutant, "killed", result["step"], result["how"])
        else:
            passed.append((design, mutant))
    closer = [
        Case(
            content_key({**basis, "closer": mutant.name, "tests": _tests_digest(mutant.module)}),
            f"closer: {mutant.name}",
            look_closer,
            (design.source, mutant),
        )
        for design, mutant in passed
    ]
    at = {id(case): where for case, where in zip(closer, passed)}
    for outcome in run_campaign(closer, workers, kept=kept, console=console, title="survivors", total=len(closer)):
        design, mutant = at[id(outcome.case)]
        result = outcome.checked()
        yield Judged(design.source, mutant, result["fate"], result["test"], "")


def on_workload(design: Design, number: int, module: str) -> dict[str, str]:
    """The verdict on one mutant."""
    verdict = simulator(design).verdict(number, module)
    return {"step": verdict.step, "how": verdict.how}


def look_closer(source: str, mutant: Mutation) -> dict[str, Any]:
    """What becomes of a mutant that the workload lets pass."""
    if source == "netlist":  # a change of no file: there is nothing for the tests of a module to read
        return {"fate": "survived", "test": ""}
    if proved_equivalent(mutant):
        return {"fate": "equivalent", "test": ""}
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        path = Path(scratch) / f"{mutant.module}.sv"
        path.write_bytes(mutant.apply((RTL_DIRECTORY / path.name).read_bytes()))
        test = failing_test(mutant.module, Path(scratch))
    return {"fate": "killed" if test else "survived", "test": test}


def _sources_digest(directory: Path) -> str:
    return content_hash(sorted(directory.glob("*.sv")))


def _tests_digest(module: str) -> str:
    root = Path(__file__).resolve().parents[3]
    return content_hash([root / path for path in tests_of(module)])
