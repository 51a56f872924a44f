"""The process of one batch, see tests.verify.fuzz.batches: python -m tests.verify.fuzz.batch_process KIND SEED COUNT CASE RESULT.

CASE is a file that always holds the number and the bytes of the case under way; RESULT is written once, at the end.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings, strategies

from tests.verify.fuzz.batches import CASE_SECONDS, KINDS

Checker = Callable[[bytes], str]


class Hang(BaseException):
    """A case has taken longer than its kind allows."""


def checker_of(kind: str) -> Checker:
    """The function that checks a case of a kind."""
    return importlib.import_module(f"tests.verify.fuzz.{KINDS[kind].maker}").checker(kind)


def check_case(kind: str, data: bytes) -> str:
    """Check one case, such as the input of a failure, in this process."""
    return checker_of(kind)(data)


def run(kind: str, number: int, count: int, current: Path) -> dict:
    """A batch in this process, see tests.verify.fuzz.batches.run_batch."""
    chosen, check = KINDS[kind], checker_of(kind)
    check(bytes(chosen.case_bytes))  # what is compiled once, is compiled here, without a limit
    outcomes: Counter[str] = Counter()
    failure: dict[str, str] = {}
    cases = 0

    def too_long(signal_number: int, frame: object) -> None:
        raise Hang(f"a case took more than {CASE_SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    with current.open("wb", buffering=0) as note:

        @seed(number)
        @settings(
            max_examples=count, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(strategies.binary(min_size=chosen.case_bytes, max_size=chosen.case_bytes))
        def one(data: bytes) -> None:
            nonlocal cases
            cases += not failure
            os.pwrite(note.fileno(), f"{cases:9} {data.hex()}".encode(), 0)
            signal.setitimer(signal.ITIMER_REAL, CASE_SECONDS)
            try:
                outcome = check(data)
            except (Exception, Hang) as error:
                failure.update(input=data.hex(), error="".join(traceback.format_exception(error)))
                raise AssertionError(str(error)) from error
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            outcomes[outcome] += not failure

        try:
            one()
        except BaseException:
            if not failure:
                raise
    failures = [failure] if failure else []
    return {"kind": kind, "seed": number, "cases": cases, "outcomes": dict(outcomes), "failures": failures}


if __name__ == "__main__":
    name, batch_seed, cases_asked, case_file, result_file = sys.argv[1:]
    found = run(name, int(batch_seed), int(cases_asked), Path(case_file))
    Path(result_file).write_text(json.dumps(found))
