"""From counts to figures: lines, branches and bits of each module, and what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.verify.coverage.exclusions import Exclusion
from tests.verify.coverage.points import Bit, Block, Counts

MOVES = 3
"""How often a bit has to move, within one simulation. Verilator counts from 0, and registers power up as noise: the first move may be to
what a register holds then, the second from there to where it stays."""

NOISE = 8
"""At most how often a constant moves while the noise of power-up runs out of the pipeline before it."""


@dataclass
class Share:
    """covered of total; excluded are not among these."""

    covered: int = 0
    total: int = 0
    excluded: int = 0

    @property
    def percent(self) -> float:
        """0 to 100; 100 of nothing."""
        return 100 * self.covered / self.total if self.total else 100.0

    def count(self, covered: bool) -> None:
        """Take in a point."""
        self.total += 1
        self.covered += covered

    def add(self, other: Share) -> None:
        """Take in another share."""
        self.covered += other.covered
        self.total += other.total
        self.excluded += other.excluded


@dataclass
class Figures:
    """Of a module, or of all.

    missing: a line of text for each point that was not seen. contradicted: one for each that is left out as out of reach, and was seen.
    """

    line: Share = field(default_factory=Share)
    branch: Share = field(default_factory=Share)
    toggle: Share = field(default_factory=Share)
    missing: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)


def by_module(counts: Counts, exclusions: Sequence[Exclusion]) -> dict[str, Figures]:
    """The figures of each module, by name.

    A line is covered if a block that holds it ran; a branch is a block that is one of several ways, and has to run itself.
    """
    figures: dict[str, Figures] = defaultdict(Figures)
    lines: dict[tuple[str, int], list[tuple[bool, bool]]] = defaultdict(list)
    for block, count in sorted(counts.blocks.items()):
        excluded = any(rule.holds_block(block) for rule in exclusions)
        for number in block.covered_lines():
            lines[block.module, number].append((count > 0, excluded))
        if block.branch:
            text = f"line {block.line}: {block.kind} {'taken' if count else 'never taken'}"
            _count(figures[block.module], "branch", count > 0, excluded, text)
    for (module, number), seen in sorted(lines.items()):
        ran = any(count for count, _ in seen)
        _count(figures[module], "line", ran, not ran and any(left for _, left in seen), f"line {number} never ran")
    for bit, moves in sorted(counts.bits.items()):
        excluded = any(rule.holds_bit(bit) for rule in exclusions)
        covered = moves >= MOVES and not (excluded and moves <= NOISE)
        _count(figures[bit.module], "toggle", covered, excluded, f"line {bit.line}: {bit.name} moved {moves} times")
    return dict(sorted(figures.items()))


def _count(figures: Figures, kind: str, covered: bool, excluded: bool, text: str) -> None:
    share: Share = getattr(figures, kind)
    if excluded:
        share.excluded += 1
        if covered:
            figures.contradicted.append(text)
        return
    share.count(covered)
    if not covered:
        figures.missing.append(text)


def total(modules: dict[str, Figures]) -> Figures:
    """All modules together."""
    result = Figures()
    for figures in modules.values():
        for kind in ("line", "branch", "toggle"):
            getattr(result, kind).add(getattr(figures, kind))
    return result


__all__ = ["MOVES", "Bit", "Block", "Figures", "Share", "by_module", "total"]
