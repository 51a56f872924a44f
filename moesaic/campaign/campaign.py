"""Run the cases that have no result yet, and keep each result as soon as it is there."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.campaign.case import Case, Outcome
from moesaic.campaign.kept_results import keep_result, read_result
from moesaic.campaign.workers import OpenWorkers
from moesaic.files import require_writable

if TYPE_CHECKING:
    from rich.console import Console


def run_campaign(
    cases: Iterable[Case],
    workers: OpenWorkers,
    *,
    kept: Path | None,
    console: Console,
    title: str = "cases",
    total: int | None = None,
) -> Generator[Outcome, None, None]:
    """Yield each case's outcome as it ends; those kept from before at once.

    cases: taken one at a time, when there is a worker for the next, so that a generator may prepare them; of those that have the same key,
    one is run. kept: directory of results,
    which this process alone reads and writes; None keeps none. console: where progress is shown, if it is a terminal. title: what the
    cases are. total: how many there are, if that is known.

    A run that is interrupted loses the cases that were running, and no other. Raises what `workers` raises, and what a case raises
    that is not moesaic's own.
    """
    from moesaic.campaign.display import Display

    if kept is not None:
        require_writable(kept)
    with Display(console, title, total) as display, workers(display.says) as crew:
        remaining, running = iter(cases), dict[str, list[Case]]()
        while True:
            for case in itertools.islice(remaining, max(crew.room(), 0 if running else 1)):
                if case.key in running:
                    running[case.key].append(case)
                    continue
                result = None if kept is None else read_result(kept / f"{case.key}.json")
                if result is None:
                    running[case.key] = [case]
                    crew.start(case)
                else:
                    display.ended(case)
                    yield Outcome(case, result, kept=True)
            if not running:
                case = next(remaining, None)
                if case is None:
                    return
                remaining = itertools.chain([case], remaining)
                continue
            case, result, error = crew.next()
            if error is None and kept is not None:
                keep_result(kept / f"{case.key}.json", result)
            for each in running.pop(case.key):
                display.ended(each)
                yield Outcome(each, result, error)
