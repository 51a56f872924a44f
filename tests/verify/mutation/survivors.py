"""What becomes of mutants that the workload lets pass: a proof that they are equivalent, a test of their module, an argument, or nothing.

Each proof and each test file is a case of its own, so that more tests or a better solver try again what was left, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, read_result
from moesaic.campaign.workers import OpenWorkers
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from tests.verify.mutation import equivalence
from tests.verify.mutation.argued import reason_for
from tests.verify.mutation.designs import method
from tests.verify.mutation.module_tests import failing_test, tests_of
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.report import Judged
from tests.verify.python_sources import REPOSITORY

Survivor = tuple[str, Mutation]
"""Where the mutant comes from, and the mutant."""


def look_closer(
    passed: Sequence[Survivor],
    beside: Mapping[str, Sequence[Mutation]],
    basis: Mapping[str, str],
    workers: OpenWorkers,
    kept: Path,
    console: Console,
) -> Iterator[Judged]:
    """Yield what becomes of these mutants.

    beside: by source, all mutants that are tried, which tests are compiled with. basis: what results depend on. Raises what run_campaign
    raises.
    """
    of_proofs = {**basis, "method": content_hash([Path(equivalence.__file__)])}
    proofs = [
        Case(
            content_key({**of_proofs, "design": method(source), "proof": mutant.name}),
            f"proof: {mutant.name}",
            _prove,
            (source, mutant),
        )
        for source, mutant in passed
    ]
    left = list[Survivor]()
    for each, result in _results(passed, proofs, workers, kept, console, "proofs"):
        if result["equivalent"]:
            yield Judged(*each, "equivalent", "", "")
        else:
            left.append(each)
    cases = {each: _test_cases(each, beside[each[0]], basis) for each in left}
    tests = {each: _kept_kill(here, kept) for each, here in cases.items()}
    for turn in range(max(map(len, cases.values()), default=0)):
        now = [each for each in left if not tests[each] and turn < len(cases[each])]
        here = [cases[each][turn] for each in now]
        for each, result in _results(now, here, workers, kept, console, f"tests, {turn + 1}"):
            tests[each] = result["test"]
    for each in left:
        if tests[each]:
            yield Judged(*each, "killed", tests[each], "")
        elif reason := reason_for(each[1]):
            yield Judged(*each, "argued", "", reason)
        else:
            yield Judged(*each, "survived", "", "")


def _kept_kill(cases: Sequence[Case], kept: Path) -> str:
    """The test that has noticed the mutant of these cases in an earlier run; "" if none has."""
    known = (read_result(kept / f"{case.key}.json") for case in cases)
    return next((result["test"] for result in known if result and result["test"]), "")


def _results(
    mutants: Sequence[Survivor], cases: Sequence[Case], workers: OpenWorkers, kept: Path, console: Console, title: str
) -> Iterator[tuple[Survivor, Any]]:
    place = {id(case): each for case, each in zip(cases, mutants, strict=True)}
    for outcome in run_campaign(cases, workers, kept=kept, console=console, title=title, total=len(cases)):
        yield place[id(outcome.case)], outcome.checked()


def _test_cases(each: Survivor, beside: Sequence[Mutation], basis: Mapping[str, str]) -> list[Case]:
    """One for each file of tests that has the module in it."""
    source, mutant = each
    here = tuple(other for other in beside if other.module == mutant.module)
    return [
        Case(
            content_key({**basis, "tested": mutant.name, "tests": path, "content": content_hash([REPOSITORY / path])}),
            f"{path}: {mutant.name}",
            _test,
            (path, source, here, here.index(mutant) + 1),
        )
        for path in tests_of(mutant.module)
    ]


def _prove(source: str, mutant: Mutation) -> dict[str, bool]:
    proved = equivalence.proved_equivalent_in_netlist if source == "netlist" else equivalence.proved_equivalent
    return {"equivalent": proved(mutant)}


def _test(path: str, source: str, mutants: Sequence[Mutation], number: int) -> dict[str, str]:
    return {"test": failing_test(path, source, mutants, number)}
