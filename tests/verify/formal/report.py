"""build/verify/formal.json and formal.md: what was proved, how, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from moesaic.campaign.kept_results import keep_result
from moesaic.files import write_file

STATUSES = ("proved", "bounded", "failed")


@dataclass(frozen=True)
class Result:
    """One task's outcome. status: of STATUSES. kind: how it was shown. depth: cycles looked at if bounded, 0 otherwise.

    vacuity: what shows that the task is not empty, cover statements reached or cases looked at. note: what failed, if anything.
    """

    name: str
    doc: str
    status: str
    kind: str
    depth: int
    seconds: float
    vacuity: str
    note: str = ""


def write_report(results: Sequence[Result], directory: Path) -> None:
    """Write formal.json and formal.md into `directory`."""
    count = Counter(result.status for result in results)
    figures = {status: count[status] for status in STATUSES}
    tasks = [asdict(result) for result in results]
    keep_result(directory / "formal.json", {**figures, "tasks": tasks})
    write_file(directory / "formal.md", _page(results, figures).encode())


def _page(results: Sequence[Result], figures: dict[str, int]) -> str:
    rows = [
        f"| `{r.name}` | {r.doc} | {r.status} | {r.kind}{f', {r.depth} cycles' if r.depth else ''} | {r.seconds:.0f} | {r.vacuity} |"
        for r in results
    ]
    summary = ", ".join(f"{figures[status]} {status}" for status in STATUSES)
    return "\n".join(
        ["# Formal verification", "", f"{len(results)} tasks: {summary}. Made by `make formal`.", "",
         "| task | what | status | how | s | not vacuous |", "|---|---|---|---|---:|---|", *rows, ""]
    )  # fmt: skip
