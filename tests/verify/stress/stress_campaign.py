"""All batches as a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, keep_result
from moesaic.campaign.workers import OpenWorkers
from moesaic.sim.measurements.benchmark.source_hashes import sources_hash
from tests.verify.stress.batches import run_episodes, run_frames

EPISODES, CYCLES = 60, 1_000_000
"""Episodes of a batch; cycles of one of frames."""


def run_batch(kind: str, seed: int) -> dict:
    """A batch of "episodes" or "frames"; {"failure": what was wrong} where the machine was."""
    try:
        return run_episodes(seed, EPISODES) if kind == "episodes" else run_frames(seed, CYCLES)
    except AssertionError as error:
        return {"failure": f"{kind}: {error}"}


def stress(directory: Path, workers: OpenWorkers, console: Console, seed: int = 0, batches: int = 20) -> dict:
    """Run batches of both kinds, and keep them. directory: gets stress.json, too, which is what this returns.

    {"episodes": counts by name, "frames": number, "cycles": of all runs that were compared, "failures": texts}.
    """
    sources = sources_hash()

    def cases() -> Iterator[Case]:
        for number in range(seed, seed + batches):
            for kind in ("episodes", "frames"):
                key = content_key({"kind": kind, "seed": number, "sources": sources, "size": [EPISODES, CYCLES]})
                yield Case(key, f"{kind}, seed {number}", run_batch, (kind, number))

    episodes, total, failures = Counter[str](), Counter[str](), list[str]()
    kept = directory / "stress"
    for outcome in run_campaign(cases(), workers, kept=kept, console=console, title="batches", total=2 * batches):
        result: dict = (
            outcome.result if outcome.error is None else {"failure": f"{outcome.case.title}: {outcome.error}"}
        )
        if "failure" in result:
            failures.append(result["failure"])
            console.print(result["failure"], style="red", highlight=False)
            continue
        episodes.update(result.get("episodes", {}))
        total.update(frames=result.get("frames", 0), cycles=result["cycles"])
    found = {"episodes": dict(sorted(episodes.items())), **total, "failures": failures}
    keep_result(directory / "stress.json", found)
    return found
