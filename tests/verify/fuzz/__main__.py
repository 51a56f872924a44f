"""Run batches of a fuzz campaign: python -m tests.verify.fuzz --kind KIND --batches N --seed S."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter

from tests.verify.fuzz.batches import KINDS, run_batch


def main() -> int:
    """Run the batches asked for, one after the other, and print their sum; 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify.fuzz", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first batch; the others count up from it")
    parser.add_argument("--cases", type=int, default=1000, help="of a batch")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no batch after so long")
    arguments = parser.parse_args()
    began, cases, outcomes, failures, batches = time.monotonic(), 0, Counter(), [], 0
    for seed in range(arguments.seed, arguments.seed + arguments.batches):
        if time.monotonic() - began > arguments.seconds:
            break
        batch = run_batch(arguments.kind, seed, arguments.cases)
        batches += 1
        cases += batch["cases"]
        outcomes.update(batch["outcomes"])
        failures += [{"seed": seed, **failure} for failure in batch["failures"]]
        print(json.dumps(batch), flush=True)
    taken = time.monotonic() - began
    print(
        f"{arguments.kind}: {batches} batches, {cases:,} cases, {len(failures)} failures, {taken:.0f} s, {cases / taken:.0f}/s"
    )
    print(", ".join(f"{word} {number:,}" for word, number in sorted(outcomes.items())))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
