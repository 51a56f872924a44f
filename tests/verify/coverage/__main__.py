"""`python -m tests.verify.coverage`: run what has no result yet, and write build/verify/coverage.md and coverage.json."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.errors import UserError
from tests.verify.coverage.run import OUTPUT, run
from tests.verify.coverage.workloads import WORKLOADS, chosen


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.coverage", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"one of: {', '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument(
        "--full-size", action="store_true", help="those of the zcu104 machine instead of the tiny one's"
    )
    add_worker_options(parser)
    arguments = parser.parse_args(words)
    console = Console()
    try:
        workloads = chosen(arguments.workload, arguments.full_size)
        figures = run(workloads, workers=chosen_workers(arguments), console=console)
    except UserError as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    console.print(", ".join(f"{name} {value:.2f} %" for name, value in figures.items()), highlight=False)
    console.print(f"report: {OUTPUT / 'coverage.md'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
