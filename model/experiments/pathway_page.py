"""The study of pathways as a page: charts, tables, and heat maps of expert usage."""

from __future__ import annotations

from moesaic.model.experiments.pathway_study import PathwayStudy, Point
from moesaic.pages.axes import LinearAxis
from moesaic.pages.document import page, paragraph, section
from moesaic.pages.drawing import Drawing
from moesaic.pages.heat_map import heat_map
from moesaic.pages.lines import Line, Panel, line_chart
from moesaic.pages.markup import Markup, element
from moesaic.pages.number_formats import count, decimals, millions, signed
from moesaic.pages.palette import REFERENCE, series_colours
from moesaic.pages.tables import Column, Table

_WHOLE = "the whole network"
_PANEL_WIDTH, _PANEL_HEIGHT = 290, 220


def pathway_chart(study: PathwayStudy) -> Drawing:
    """One row per task: accuracy, weights, DRAM traffic and MACs against the number of experts kept."""
    colours = series_colours(f"top-{top_k}" for top_k in sorted({point.top_k for point in study.points}, reverse=True))
    rows = []
    for task, (name, higher) in study.metrics.items():
        whole, *points = _points_of(study, task)
        quantities = (
            (f"{task}: {name} {'↑' if higher else '↓'}", lambda p: p.value),
            ("weights, MB", lambda p: p.weight_bytes / 1e6),
            ("DRAM, MB a frame", lambda p: p.dram_bytes / 1e6),
            ("million MACs a frame", lambda p: p.macs / 1e6),
        )
        kept = sorted({point.kept for point in (whole, *points)})
        row = []
        for title, value in quantities:
            lines = [Line(_WHOLE, [(kept[0], value(whole)), (kept[-1], value(whole))], REFERENCE, dashed=True)]
            for top_k, colour in colours.items():
                chosen = sorted((p.kept, value(p)) for p in points if f"top-{p.top_k}" == top_k)
                if chosen:
                    lines.append(Line(top_k, chosen, colour))
            heights = [y for line in lines for _, y in line.points]
            y_axis = LinearAxis.around(heights, from_zero=bool(row))  # all but accuracy
            row.append(Panel(lines, LinearAxis.of_values(kept), y_axis, "experts kept, all MoE blocks", title=title))
        rows.append(row)
    return line_chart(rows, _PANEL_WIDTH, _PANEL_HEIGHT)


def pathway_page(study: PathwayStudy) -> str:
    """The complete, self-contained HTML page."""
    c = study.configuration
    blocks = len(c.architecture.moe_blocks)
    where = "in every MoE block" if study.scope == "layer" else "over all MoE blocks of a task"
    tuned = f", after {study.fine_tuned} steps of fine-tuning each" if study.fine_tuned else ", without fine-tuning"
    summary = (
        f"{c.experts} experts in each of {blocks} MoE blocks, {c.top_k} a token. Budgets count experts {where}; each task keeps those"
        f" with the largest router scores, summed over the tokens that chose them. Measured on {study.samples} held-out"
        f" samples{tuned}."
    )
    bytes_meaning = (
        "Weights: every tensor that the task's pathway reads, 1 byte a weight (half a byte for 4-bit experts), 7 a channel for bias,"
        " multiplier and shift, 4 for a layer norm's. DRAM: weights + 4 x height x width (image) + 2 x pixels x channels of the output,"
        " for a machine that keeps activations on chip and reads each weight once a frame; programs are not counted, and an expert"
        " that no token of a frame chose need not be read. MACs: with top-k experts a token and a router row for each expert kept."
    )
    use = "Of the whole network on calibration images: each expert's share of all choices, and of all score."
    return page(
        "Pathways",
        element("h1", "Pathways"),
        paragraph(summary),
        section("Against budget", bytes_meaning, pathway_chart(study).inline()),
        *(section(task, "", budget_table(study, task).to_html()) for task in study.metrics),
        section("Use of the experts", use, *(_usage(study, task) for task in study.metrics)),
    )


def budget_table(study: PathwayStudy, task: str) -> Table:
    """What each budget costs a task in accuracy, and what it saves; one row per budget."""
    points = _points_of(study, task)
    with_integers = any(point.integer is not None for point in points)
    columns = [
        Column("budget"), Column("experts", count), Column("top-k", count), Column(study.metrics[task][0], decimals(4)),
        Column("in integers", decimals(4)), Column("worse by", signed(2, " %")), Column("weight bytes", count),
        Column("DRAM bytes", count), Column("M MACs", millions()),
    ]  # fmt: skip
    rows = [
        (p.budget, p.kept, p.top_k, p.value, p.integer, p.change, p.weight_bytes, p.dram_bytes, p.macs) for p in points
    ]
    table = Table(columns, rows)
    shown = [column.heading for column in columns if with_integers or column.heading != "in integers"]
    return table.select(*shown)


def _points_of(study: PathwayStudy, task: str) -> list[Point]:
    return [point for point in study.points if point.task == task]


def _usage(study: PathwayStudy, task: str) -> Markup:
    rows = {}
    for block, usage in study.usage[task].items():
        rows[f"block {block}, choices"] = usage.share.tolist()
        rows[f"block {block}, score"] = (usage.mass / usage.mass.sum()).tolist()
    return heat_map(rows, task, [str(expert) for expert in range(study.configuration.experts)])
