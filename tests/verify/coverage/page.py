"""The report: figures of each module, what is missing, what is left out and why, and the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.verify.coverage.exclusions import Exclusion
from tests.verify.coverage.figures import MOVES, Figures, Share, total
from tests.verify.coverage.plan import Row

_SHOWN = 30


def summary(modules: Mapping[str, Figures], rows: Sequence[Row], seen: Mapping[str, bool]) -> dict[str, float]:
    """{"line", "branch", "toggle", "plan"}, each 0 to 100; 0 if nothing was counted. No "plan" without rows."""
    figures = total(dict(modules))
    shares = {"line": figures.line, "branch": figures.branch, "toggle": figures.toggle}
    if rows:
        shares["plan"] = Share(sum(seen[row.point] for row in rows), len(rows))
    return {kind: share.percent if share.total else 0.0 for kind, share in shares.items()}


def as_json(
    modules: Mapping[str, Figures], rows: Sequence[Row], seen: Mapping[str, bool], workloads: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that the page says, as JSON can hold it."""
    return {
        **summary(modules, rows, seen),
        "modules": {
            name: {
                **{kind: vars(getattr(figures, kind)) for kind in ("line", "branch", "toggle")},
                "missing": figures.missing,
                "contradicted": figures.contradicted,
            }
            for name, figures in modules.items()
        },
        "rows": [{"point": row.point, "what": row.what, "test": row.test, "seen": seen[row.point]} for row in rows],
        "workloads": dict(workloads),
    }


def as_markdown(
    modules: Mapping[str, Figures],
    rows: Sequence[Row],
    seen: Mapping[str, bool],
    workloads: Mapping[str, Any],
    exclusions: Sequence[Exclusion],
    impossible: Mapping[str, str],
) -> str:
    """The page. impossible: point that cannot be seen, to the reason."""
    figures = total(dict(modules))
    plan = Share(sum(seen[row.point] for row in rows), len(rows))
    planned = f", plan {_text(plan)}" if rows else ""
    lines = [
        "# Coverage of the RTL",
        "",
        f"Lines {_text(figures.line)}, branches {_text(figures.branch)}, bits moved at least {MOVES} times in one instance of one "
        f"simulation {_text(figures.toggle)}{planned}. Signals of more than 256 bits are not among the bits.",
        "",
        "| module | lines | branches | bits |",
        "|---|--:|--:|--:|",
        *(f"| {name} | {_text(f.line)} | {_text(f.branch)} | {_text(f.toggle)} |" for name, f in modules.items()),
        "",
        "## Missing",
        "",
        *(f"- {name}: {text}" for name, f in modules.items() for text in _shortened(f.missing)),
        "",
        "## Left out",
        "",
        *(f"- **seen all the same**: {name}: {text}" for name, f in modules.items() for text in f.contradicted),
        *(f"- {rule.module} {rule.signal or rule.text or ''}: {rule.reason}" for rule in exclusions),
        *(f"- {point}: {reason}" for point, reason in impossible.items()),
        "",
        *(["## Plan", "", "| what | test | seen |", "|---|---|---|"] if rows else []),
    ]
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.what, row.test), []).append(row)
    for (what, test), group in grouped.items():
        unseen = [row.point for row in group if not seen[row.point]]
        lines.append(
            f"| {what} | `{test}` | {len(group) - len(unseen)} of {len(group)}{'; not ' + ', '.join(unseen) if unseen else ''} |"
        )
    lines += ["", "## Workloads", "", *(f"- {name}: {text}" for name, text in workloads.items()), ""]
    return "\n".join(lines)


def _text(share: Share) -> str:
    left_out = f", {share.excluded} left out" if share.excluded else ""
    return f"{share.percent:.1f} % ({share.covered} of {share.total}{left_out})"


def _shortened(texts: Sequence[str]) -> list[str]:
    more = len(texts) - _SHOWN
    return [*texts[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
