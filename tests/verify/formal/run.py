"""Run the tasks as a campaign, each kept by the content of what it proves, and write the report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case, Outcome
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.errors import InternalError, UserError
from moesaic.files import sha256_of
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.formal import bit_induction, sby
from tests.verify.formal.arithmetic_lemmas import LEMMAS
from tests.verify.formal.deadlock_checks import CHECKS
from tests.verify.formal.environment import require, versions
from tests.verify.formal.exhaustion import EXHAUSTIONS, SOURCES
from tests.verify.formal.report import Result, write_report
from tests.verify.formal.tasks import BIT_INDUCTION, REACHABILITY, TASKS, ProofTask

VERIFY = Path("build/verify")
KEPT = VERIFY / "formal"
RUNS = VERIFY / "formal-runs"
"""What sby wrote, by task."""
LOWERING = (Path("hls/compiler"), Path("tests/hls"), Path("spec"))
"""What the checks of programs depend on, beside themselves."""


def proved(name: str) -> dict:
    """Prove a task and reach its cover statements; a `Result` as a dictionary. InternalError if either fails."""
    task = _task(name)
    if task.engine == BIT_INDUCTION:
        verdict = bit_induction.prove(task, RUNS / name / "proof")
    else:
        verdict = sby.run(task, "bmc" if task.bounded else "prove", RUNS / name / "proof", RTL_DIRECTORY)
    if verdict.status != "PASS":
        raise InternalError(f"{name}: proof {verdict.status} {', '.join(verdict.named)}")
    cover, vacuity = sby.Verdict("PASS", (), 0), f"as {task.covered_by}"
    if not task.covered_by:
        cover = sby.run(task, "cover", RUNS / name / "cover", RTL_DIRECTORY)
        vacuity = f"{cover.covered} covers reached"
        if cover.status != "PASS" or not cover.covered:
            raise InternalError(f"{name}: covers {cover.status} {', '.join(cover.named)}")
    kind = "bounded" if task.bounded else "reachability" if task.engine == REACHABILITY else "induction"
    return asdict(
        Result(
            name, task.doc, "bounded" if task.bounded else "proved", kind, task.depth if task.bounded else 0,
            round(verdict.seconds + cover.seconds, 1), vacuity,
        )
    )  # fmt: skip


def checked(name: str) -> dict:
    """Run a check that is Python's own; a `Result` as a dictionary. InternalError if it fails."""
    function = (LEMMAS | EXHAUSTIONS | CHECKS)[name]
    started = time.monotonic()
    doc = (function.__doc__ or "").split("\n")[0].rstrip(".")
    try:
        cases = function()
    except AssertionError as error:
        raise InternalError(f"{name}: {error or 'the assertion fails'}") from None
    kind = "model" if name in CHECKS else "exhaustion"
    return asdict(Result(name, doc, "proved", kind, 0, round(time.monotonic() - started, 1), f"{cases:,} cases"))


def cases(names: Sequence[str] = ()) -> list[Case]:
    """The cases with these names, all if none is given. UserError for an unknown name."""
    known = {task.name: _proof_case for task in TASKS} | dict.fromkeys([*LEMMAS, *EXHAUSTIONS, *CHECKS], _check_case)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"unknown task {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name](name) for name in names or known]


def _proof_case(name: str) -> Case:
    task = _task(name)
    sources = {path.name: sha256_of(path.read_bytes()) for path in task.sources()}
    return Case(content_key({"task": repr(task), "sources": sources, **versions()}), name, proved, (name,))


def _check_case(name: str) -> Case:
    sources = {f"{path.parent.name}/{path.name}": sha256_of(path.read_bytes()) for path in _sources_of_check(name)}
    return Case(content_key({"check": name, "sources": sources}), name, checked, (name,))


def _sources_of_check(name: str) -> list[Path]:
    here = Path(__file__).parent
    if name in EXHAUSTIONS:
        return [here / "exhaustion.py", *SOURCES]
    if name in LEMMAS:
        return [here / "arithmetic_lemmas.py", Path("spec/arithmetic.py")]
    places = [path for place in LOWERING for path in sorted(place.glob("*.py"))]
    return [here / "deadlock.py", here / "deadlock_checks.py", *places]


def _task(name: str) -> ProofTask:
    return next(task for task in TASKS if task.name == name)


def _result(outcome: Outcome) -> Result:
    if outcome.error is None:
        return Result(**outcome.result)
    return Result(outcome.case.title, "", "failed", "", 0, 0.0, "", str(outcome.error).splitlines()[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: exit status 0 if nothing fails, 1 if something does, 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify.formal", description="Prove what is not proved yet.")
    parser.add_argument("--task", action="append", metavar="NAME", help="only this one; may be given several times")
    add_worker_options(parser)
    options = parser.parse_args(arguments)
    console, results = Console(), []
    try:
        require()
        chosen = cases(options.task or ())
        for outcome in run_campaign(
            chosen, chosen_workers(options), kept=KEPT, console=console, title="proofs", total=len(chosen)
        ):
            result = _result(outcome)
            results.append(result)
            console.print(
                f"{result.status}  {result.name}  {result.kind}, {result.seconds:.0f} s  {result.note}", highlight=False
            )
        if not options.task:
            order = [case.title for case in chosen]
            write_report(sorted(results, key=lambda result: order.index(result.name)), VERIFY)
    except UserError as error:
        console.print(f"formal: {error}", highlight=False, markup=False)
        return 2
    return int(any(result.status == "failed" for result in results))
