"""Run batches: `python -m tests.verify.stress --batches 20`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from moesaic.argument_types import natural, positive
from moesaic.campaign.options import add_worker_options, chosen_workers
from tests.verify.stress.stress_campaign import stress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.stress", description=__doc__)
    parser.add_argument("--batches", type=positive, default=20, help="of episodes, and of frames (default 20)")
    parser.add_argument("--seed", type=natural, default=0, help="of the first batch (default 0)")
    parser.add_argument("--output", type=Path, default=Path("build/verify"), help="where results are kept")
    add_worker_options(parser)
    arguments = parser.parse_args()
    console = Console()
    found = stress(arguments.output, chosen_workers(arguments), console, arguments.seed, arguments.batches)
    console.print(found)
    return 0 if not found["failures"] else 1


if __name__ == "__main__":
    sys.exit(main())
