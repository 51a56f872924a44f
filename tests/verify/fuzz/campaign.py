"""The whole fuzz campaign: batches of every kind, each kept by the content of what it tests, and their sum."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, keep_result
from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.campaign.workers import sources
from moesaic.errors import UserError
from moesaic.files import sha256_of
from tests.verify.fuzz.batches import KINDS, run_batch

VERIFY = Path("build/verify")
KEPT = VERIFY / "fuzz"
ASKED = {
    "programs": 100_000, "rtl-programs": 5_000, "images": 6_000, "bundles": 5_000, "recipes": 3_000, "checkpoints": 3_000,
    "onnx": 2_000, "builds": 1_000,
}  # fmt: skip
"""Cases of each kind."""
_BATCH = {"programs": 2_000, "rtl-programs": 100}
_FILES_BATCH = 250
_PROGRAMS, _RTL_PROGRAMS = "programs", "rtl-programs"


def _content() -> dict[str, str]:
    """What every batch depends on: the Python of moesaic and of the tests that make cases, and the hardware's sources."""
    hardware = Path(str(resources.files("moesaic.hls"))) / "hardware"
    files = [*Path(__file__).parent.glob("*.*"), *Path(__file__).parents[2].joinpath("spec").glob("*.py")]
    files += [path for kind in ("cpp", "rtl") for path in (hardware / kind).iterdir()]
    return {
        "moesaic": sources(),
        **{str(path): sha256_of(path.read_bytes()) for path in sorted(files) if path.is_file()},
    }


def batches(kinds: Sequence[str], first_seed: int) -> Iterator[Case]:
    """The batches of these kinds, each kind by turns, so that a part of the campaign has something of all."""
    content = _content()
    counts = {kind: _BATCH.get(kind, _FILES_BATCH) for kind in kinds}
    left = {kind: -(-ASKED[kind] // counts[kind]) for kind in kinds}
    whole = dict(left)
    while any(left.values()):
        kind = max(kinds, key=lambda each: left[each] / whole[each])
        left[kind] -= 1
        seed, count = first_seed + whole[kind] - 1 - left[kind], counts[kind]
        key = content_key({"kind": kind, "seed": seed, "cases": count, **content})
        yield Case(key, f"{kind}, seed {seed}", run_batch, (kind, seed, count))


def summary(results: Sequence[dict]) -> dict:
    """Of results of run_batch: programs, rtl_programs, files and failures, all counts; outcomes by kind; and the failures in full."""
    cases: Counter[str] = Counter()
    outcomes: dict[str, Counter[str]] = {}
    for result in results:
        cases[result["kind"]] += result["cases"]
        outcomes.setdefault(result["kind"], Counter()).update(result["outcomes"])
    found = [{"kind": r["kind"], "seed": r["seed"], **failure} for r in results for failure in r["failures"]]
    return {
        "programs": cases[_PROGRAMS],
        "rtl_programs": cases[_RTL_PROGRAMS],
        "files": sum(count for kind, count in cases.items() if kind not in (_PROGRAMS, _RTL_PROGRAMS)),
        "failures": len(found),
        "outcomes": {kind: dict(sorted(words.items())) for kind, words in sorted(outcomes.items())},
        "found": found,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: exit status 0 if no case fails, 1 if one does, 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.verify.fuzz",
        description="Run the batches that have no result yet, and write build/verify/fuzz.json.",
    )
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one; may be given several times")
    parser.add_argument("--batches", type=int, help="only so many, those that have results included")
    parser.add_argument("--seed", type=int, default=0, help="of each kind's first batch (default 0)")
    add_worker_options(parser)
    options = parser.parse_args(arguments)
    console, results = Console(), []
    try:
        chosen = list(batches(options.kind or list(KINDS), options.seed))[: options.batches]
        for outcome in run_campaign(
            chosen, chosen_workers(options), kept=KEPT, console=console, title="fuzz batches", total=len(chosen)
        ):
            results.append(outcome.checked())
            for failure in outcome.result["failures"]:
                console.print(f"{outcome.case.title}: {failure['error']}", highlight=False, markup=False)
    except UserError as error:
        console.print(f"fuzz: {error}", highlight=False, markup=False)
        return 2
    found = summary(results)
    if not options.kind and options.batches is None:
        keep_result(VERIFY / "fuzz.json", found)
    console.print(
        f"{found['programs']:,} programs, {found['rtl_programs']:,} on the RTL, {found['files']:,} files,"
        f" {found['failures']} failures", highlight=False,
    )  # fmt: skip
    return int(found["failures"] > 0)
