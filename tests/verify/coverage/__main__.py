"""`python -m tests.verify.coverage`: run what has no result yet, and write build/verify/coverage.md and coverage.json."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.errors import UserError
from tests.verify.coverage.run import OUTPUT, report_name, run
from tests.verify.coverage.workloads import FULL_SIZE, TINY, WORKLOADS, chosen


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.coverage", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"one of: {', '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument(
        "--full-size",
        action="store_true",
        help="those of the zcu104 machine instead of the tiny one's; the report is coverage-zcu104",
    )
    add_worker_options(parser)
    arguments = parser.parse_args(words)
    console = Console()
    try:
        machine = FULL_SIZE if arguments.full_size else TINY
        workloads = chosen(arguments.workload, machine)
        figures = run(workloads, machine=machine, workers=chosen_workers(arguments), console=console)
    except UserError as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    console.print(", ".join(f"{name} {value:.2f} %" for name, value in figures.items()), highlight=False)
    console.print(f"report: {OUTPUT / f'{report_name(machine)}.md'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
