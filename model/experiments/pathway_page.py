"""The report on pathways as a page: charts, tables, and heat maps of the experts' use."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from moesaic.model.experiments.pathway_charts import PALETTE, Line, Panel, figure
from moesaic.model.experiments.pathway_study import PathwayStudy, Point

_STYLE = """
:root { --ink: #1c2330; --soft: #5b6577; --line: #dfe4ec; --paper: #ffffff; --ground: #f5f7fa; --heat: 47, 111, 221; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --soft: #9aa5b8; --line: #2c3443; --paper: #171c26; --ground: #10141c; --heat: 110, 160, 255; }
}
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1260px; margin: 0 auto; padding: 32px 20px 64px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; padding: 22px 24px; }
section { margin-top: 20px; overflow-x: auto; }
p { max-width: 84ch; } .soft { color: var(--soft); } code { font: 13px ui-monospace, monospace; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-top: 8px; }
th, td { padding: 4px 14px 4px 0; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: 13px; } th:first-child, td:first-child { text-align: left; }
.heat td { min-width: 40px; text-align: center; padding: 5px; border: 2px solid var(--paper); }
svg { max-width: 100%; height: auto; }
"""
_WHOLE = "the whole network"


def chart(report: PathwayStudy) -> str:
    """An SVG document: a row for each task, with accuracy, weight bytes, DRAM bytes and MACs against the experts kept."""
    tasks = list(report.metrics)
    top_ks = sorted({point.top_k for point in report.points}, reverse=True)
    colours = {top_k: PALETTE[n % len(PALETTE)] for n, top_k in enumerate(top_ks)}
    rows = []
    for task in tasks:
        whole, *points = _points_of(report, task)
        name, higher = report.metrics[task]
        quantities = (
            (f"{task}: {name} {'↑' if higher else '↓'}", lambda p: p.value),
            ("weights, MB", lambda p: p.weight_bytes / 1e6),
            ("DRAM, MB a frame", lambda p: p.dram_bytes / 1e6),
            ("million MACs a frame", lambda p: p.macs / 1e6),
        )
        kept = sorted({point.kept for point in (whole, *points)})
        row = []
        for title, value in quantities:
            lines = [Line(_WHOLE, [(kept[0], value(whole)), (kept[-1], value(whole))], "#64748b", dashed=True)]
            for top_k in top_ks:
                chosen = sorted((p.kept, value(p)) for p in points if p.top_k == top_k)
                if chosen:
                    lines.append(Line(f"top-{top_k}", chosen, colours[top_k]))
            row.append(Panel(title, "experts kept, all MoE blocks", lines, kept, from_zero=bool(row)))  # but accuracy
        rows.append(row)
    return figure(rows)


def page(report: PathwayStudy) -> str:
    """The whole page, which needs no other file."""
    c = report.configuration
    blocks = len(c.architecture.moe_blocks)
    where = "in every MoE block" if report.scope == "layer" else "over all MoE blocks of a task"
    tuned = f", after {report.fine_tuned} steps of fine-tuning each" if report.fine_tuned else ", without fine-tuning"
    summary = (
        f"{c.experts} experts in each of {blocks} MoE blocks, {c.top_k} a token. Budgets count experts {where}; each task keeps those"
        f" with the largest router scores, summed over the tokens that chose them. Measured on {report.samples} held-out"
        f" samples{tuned}."
    )
    bytes_meaning = (
        "Weights: every tensor that the task's pathway reads, 1 byte a weight (half a byte for 4-bit experts), 7 a channel for bias,"
        " multiplier and shift, 4 for a layer norm's. DRAM: weights + 4 x height x width (image) + 2 x pixels x channels of the output,"
        " for a machine that keeps activations on chip and reads each weight once a frame; programs are not counted, and an expert"
        " that no token of a frame chose need not be read. MACs: with top-k experts a token and a router row for each expert kept."
    )
    sections = [
        _section("Against budget", f'<div class="chart">{chart(report)}</div>', _paragraph(bytes_meaning, "soft")),
        *(_section(task, _task_table(report, task)) for task in report.metrics),
        _section(
            "Use of the experts",
            _paragraph(
                "Of the whole network on calibration images: each expert's share of all choices, and of all score."
            ),
            *(_usage(report, task) for task in report.metrics),
        ),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Pathways</title><style>{_STYLE}</style>'
    body = f"<main><h1>Pathways</h1>{_paragraph(summary)}{''.join(sections)}</main>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def table_of(report: PathwayStudy, task: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a task's points, as text."""
    points, name = _points_of(report, task), report.metrics[task][0]
    with_integers = any(point.integer is not None for point in points)
    header = [
        "budget",
        "experts",
        "top-k",
        name,
        *(["in integers"] if with_integers else []),
        "worse by",
        "weight bytes",
    ]
    rows = []
    for point in points:
        integer = [f"{point.integer:.4f}"] if point.integer is not None else []
        row = [
            point.budget,
            str(point.kept),
            str(point.top_k),
            f"{point.value:.4f}",
            *integer,
            f"{round(point.change, 2) + 0.0:+.2f} %",
        ]
        rows.append([*row, f"{point.weight_bytes:,}", f"{point.dram_bytes:,}", f"{point.macs / 1e6:,.2f}"])
    return [*header, "DRAM bytes", "M MACs"], rows


def _points_of(report: PathwayStudy, task: str) -> list[Point]:
    return [point for point in report.points if point.task == task]


def _task_table(report: PathwayStudy, task: str) -> str:
    return _table(*table_of(report, task))


def _usage(report: PathwayStudy, task: str) -> str:
    rows = []
    for i, usage in report.usage[task].items():
        shares = {"choices": usage.share, "score": usage.mass / usage.mass.sum()}
        rows += [_heat(f"block {i}, {what}", share) for what, share in shares.items()]
    head = _row("th", [task, *(f"{e}" for e in range(report.configuration.experts))])
    return f'<table class="heat">{head}{"".join(rows)}</table>'


def _heat(label: str, share: np.ndarray) -> str:
    cells = "".join(
        f'<td style="background: rgba(var(--heat), {part / share.max() * 0.85:.3f})">{100 * part:.0f} %</td>'
        for part in share
    )
    return f"<tr><th>{escape(label)}</th>{cells}</tr>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return f"<table>{_row('th', header)}{''.join(_row('td', row) for row in rows)}</table>"


def _row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"
