"""Break the Python that defines what is right, in one place at a time: `python -m tests.verify.python_mutation`.

Writes build/verify/python_mutants.json; results are kept beside it, so that a campaign resumes. Each mutant has a process of its own,
forked from a worker.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from moesaic.argument_types import positive
from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, keep_result
from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.errors import UserError
from tests.verify.python_mutation.samples import PythonMutant, sample
from tests.verify.python_mutation.targets import TARGETS
from tests.verify.python_mutation.trials import try_mutant
from tests.verify.python_sources import REPOSITORY

_OUTPUT = Path("build") / "verify"


def main(words: list[str]) -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify.python_mutation", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="only these, as spec/arithmetic.py")
    parser.add_argument("--mutants", type=positive, default=300, help="how many to sample (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default 1)")
    parser.add_argument(
        "--seconds", type=positive, help="begin no mutant after so long; the next run goes on from there"
    )
    parser.add_argument("--output", type=Path, default=_OUTPUT, help=f"directory of results (default {_OUTPUT})")
    add_worker_options(parser)
    chosen = parser.parse_args(words)
    unknown = [file for file in chosen.files if file not in TARGETS]
    if unknown:
        raise UserError(f"no mutants are made of {', '.join(unknown)}; known: {', '.join(TARGETS)}")
    mutants = sample(chosen.files or list(TARGETS), chosen.mutants, chosen.seed)
    cases = [Case(_key(mutant), mutant.name, try_mutant, (mutant, TARGETS[mutant.file])) for mutant in mutants]
    of_case = {id(case): mutant for case, mutant in zip(cases, mutants)}
    began, console, run = time.monotonic(), Console(), list[tuple[PythonMutant, dict[str, Any]]]()
    for ended in run_campaign(
        cases,
        chosen_workers(chosen),
        kept=chosen.output / "python_mutants",
        console=console,
        title="mutants",
        total=len(cases),
    ):
        if ended.error is not None:
            raise ended.error
        run.append((of_case[id(ended.case)], ended.result))
        if chosen.seconds and time.monotonic() - began > chosen.seconds:
            break
    survived = sorted(mutant.shown() for mutant, result in run if not result["by"])
    counts = {"run": len(run), "killed": len(run) - len(survived), "equivalent": 0, "survived": survived}
    keep_result(chosen.output / "python_mutants.json", counts)
    console.print(f"{len(run)} mutants: {counts['killed']} killed, {len(survived)} survived", highlight=False)
    for line in survived:
        console.print(f"    {line}", highlight=False)
    return 0


def _key(mutant: PythonMutant) -> str:
    files = [mutant.file, *TARGETS[mutant.file]]
    digests = [hashlib.sha256((REPOSITORY / file).read_bytes()).hexdigest() for file in files]
    return content_key({"mutant": mutant.name, "files": digests})


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
