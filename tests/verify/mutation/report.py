"""The counts of a campaign, as JSON and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.verify.mutation.operators import Mutation

FATES = ("killed", "equivalent", "argued", "survived")
"""Argued mutants have a reason in argued.toml and no proof, so they count as not killed."""


@dataclass(frozen=True)
class Judged:
    """source: where the mutant comes from. fate: one of FATES. by: the step or test that noticed it, if any. how: what was wrong
    then, or the reason of one that is argued.
    """

    source: str
    mutant: Mutation
    fate: str
    by: str
    how: str


def as_json(judged: Sequence[Judged]) -> dict[str, Any]:
    """{"run", "killed", "equivalent", "argued", "survived": [what they change]}; the last two count as not killed."""
    return {
        "run": len(judged),
        "killed": sum(each.fate == "killed" for each in judged),
        "equivalent": sum(each.fate == "equivalent" for each in judged),
        "argued": sum(each.fate == "argued" for each in judged),
        "survived": sorted(_shown(each.mutant) for each in judged if each.fate == "survived"),
    }


def as_markdown(judged: Sequence[Judged]) -> str:
    """Counts by source, by module and by operator; what noticed; and the survivors."""
    lines = [
        "# Mutants",
        "",
        f"{len(judged)} mutants; of those not proved equivalent, {share(judged):.1f} % are killed.",
        "",
    ]
    for title, key in (
        ("source", lambda each: each.source),
        ("module", lambda each: each.mutant.module),
        ("operator", lambda each: each.mutant.operator),
    ):
        lines += _table(title, judged, key)
    noticed = Counter(_kind(each.by) for each in judged if each.fate == "killed")
    lines += [
        "| noticed by | mutants |",
        "|---|--:|",
        *(f"| {by} | {count} |" for by, count in noticed.most_common()),
        "",
    ]
    lines += [f"- {_shown(each.mutant)}" for each in judged if each.fate == "survived"]
    lines += [f"- argued: {_shown(each.mutant)}: {each.how}" for each in judged if each.fate == "argued"]
    return "\n".join(lines) + "\n"


def share(judged: Sequence[Judged]) -> float:
    """Percentage of the mutants not proved equivalent that are killed; 100 if there are none."""
    relevant = [each for each in judged if each.fate != "equivalent"]
    return 100.0 * sum(each.fate == "killed" for each in relevant) / len(relevant) if relevant else 100.0


def _table(title: str, judged: Sequence[Judged], key: Callable[[Judged], str]) -> list[str]:
    lines = [f"| {title} | run | {' | '.join(FATES)} |", f"|---|--:|{'--:|' * len(FATES)}"]
    for name in sorted({key(each) for each in judged}):
        here = Counter(each.fate for each in judged if key(each) == name)
        lines.append(f"| {name} | {here.total()} | " + " | ".join(str(here[fate]) for fate in FATES) + " |")
    return [*lines, ""]


def _kind(by: str) -> str:
    """A step without its number; a test without what follows its file."""
    if ".py" in by:
        return by.split("::", maxsplit=1)[0]
    if by.startswith(("random program", "limit")):
        return " ".join(by.split()[:2] if by.startswith("random") else by.split()[:1])
    return by.rpartition(", ")[0] or by


def _shown(mutant: Mutation) -> str:
    if mutant.title:
        return mutant.title
    change = f"`{' '.join(mutant.original.split())}` → `{' '.join(mutant.replacement.split())}`"
    return f"{mutant.module}.sv:{mutant.line}, {mutant.operator}: {change}"
