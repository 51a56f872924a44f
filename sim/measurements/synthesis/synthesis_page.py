"""The resources of a configuration as tables and as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from moesaic.hls.hardware.guidelines import BIG_BLOCKS_PERCENT, Judgement
from moesaic.pages.number_formats import count, decimals
from moesaic.pages.tables import Cell, Column, Table, Tone, Value
from moesaic.sim.measurements.synthesis import loads, path_delays
from moesaic.sim.measurements.synthesis.module_synthesis import Measured, Result
from moesaic.sim.measurements.synthesis.synthesis_report import (
    COUNTED,
    GUIDELINES,
    NOTE,
    RULE,
    Row,
    blocks,
    rows,
    verdict,
)
from moesaic.spec.configuration import HardwareConfiguration

_MEETS = f"<= {path_delays.CLOCK_NS}"


def resources_table(results: Sequence[Result]) -> Table:
    """A row for each module, with the amounts of all its instances but not of the modules below them, and a row for the whole."""
    modules = rows(results)
    amounts = (Column(name.upper(), decimals(1) if name == "bram36" else count) for name in COUNTED)
    columns = (
        Column("module"), Column("instances", count), *amounts, Column("path ns", decimals(2)), Column("LUTs", count),
        Column(_MEETS, align="right"),
    )  # fmt: skip
    return Table(columns, [*map(_module_row, modules), _whole_row(results, modules)])


def _module_row(row: Row) -> list[Value | Cell]:
    entries: list[Value | Cell] = [row.module, row.instances, *(row.own[name] for name in COUNTED)]
    tone: Tone = "plain" if row.meets else "bad"
    if row.loops:
        return [*entries, Cell("loop", tone), "", Cell("NO", tone)]
    if row.worst is None:
        return [*entries, "", "", ""]
    return [*entries, Cell(row.worst.delay, tone), row.worst.levels, Cell("yes" if row.meets else "NO", tone)]


def _whole_row(results: Sequence[Result], modules: Sequence[Row]) -> list[Cell]:
    total = blocks(results[-1].total)
    slowest = max((row.worst.delay for row in modules if row.worst), default=0.0)
    missed = sum(not row.meets for row in modules)
    judged = f"{missed} miss" if missed else "yes"
    entries = ["whole", "", *(total[name] for name in COUNTED), slowest, "", judged]
    return [Cell(entry, "strong") for entry in entries]


def paths_table(paths: Iterable[tuple[str, path_delays.Path]]) -> Table:
    """Paths, each with its module."""
    columns = (Column("module"), Column("ns", decimals(2)), Column("LUTs", count), Column("from"), Column("to"))
    entries = [
        (module, path.delay, path.levels, Cell(path.start, "code"), Cell(path.end, "code")) for module, path in paths
    ]
    return Table(columns, entries)


def guidelines_table(judgements: Sequence[Judgement]) -> Table:
    """A row for each guideline with both numbers; broken ones with their remedy."""
    columns = (
        Column("guideline"), Column("found", align="right"), Column("at most", align="right"), Column("% of device", align="right"),
        Column("% allowed", align="right"), Column("kept", align="right"), Column("where"), Column("remedy"),
    )  # fmt: skip
    return Table(columns, [_guideline_row(judgement) for judgement in judgements])


def _guideline_row(judgement: Judgement) -> list[Value | Cell]:
    tone: Tone = "plain" if judgement.kept else "bad"
    share = "" if judgement.percent is None else f"{judgement.percent:.1f}"
    allowed = "" if judgement.limit_percent is None else f"{judgement.limit_percent:g}"
    return [
        judgement.guideline,
        Cell(f"{judgement.found:,.12g}", tone),
        f"{judgement.limit:,.12g}",
        share,
        allowed,
        Cell("yes" if judgement.kept else "NO", tone),
        Cell(judgement.where, "code") if judgement.where else "",
        "" if judgement.kept else judgement.remedy,
    ]


def nets_table(nets: Mapping[str, loads.Net]) -> Table:
    """The net with most loads of each kind of pin."""
    columns = (
        Column("kind of pin"),
        Column("loads", count),
        Column("of all its loads", count),
        Column("driven by"),
        Column("net"),
    )
    entries = [
        (
            kind,
            nets[kind].loads[kind],
            nets[kind].loads.total(),
            "flip-flop" if nets[kind].registered else "logic",
            Cell(nets[kind].name, "code"),
        )
        for kind in loads.KINDS
        if kind in nets
    ]
    return Table(columns, entries)


def resources_markdown(
    configuration: HardwareConfiguration, design: Measured, judgements: Sequence[Judgement], big_blocks: float
) -> str:
    """A Markdown page with guidelines, resources, largest nets and worst paths, and the verdict.

    big_blocks: mean share of DSP, block RAM and UltraRAM, percent.
    """
    results = design.results
    modules = rows(results)
    top = modules[0]
    slowest_first = sorted(
        (row for row in modules if row.worst), key=lambda row: -row.worst.delay if row.worst else 0.0
    )
    lines = [
        f"# Resources of `{configuration.name}` on {configuration.part}",
        "",
        NOTE,
        "",
        "## Guidelines",
        "",
        GUIDELINES,
        f"The mean share of DSP, block RAM and UltraRAM is {big_blocks:.1f} %, where report_failfast advises {BIG_BLOCKS_PERCENT:g} %.",
        "",
        guidelines_table(judgements).to_markdown(),
        "",
        "## Modules",
        "",
        resources_table(results).to_markdown(),
        "",
        "## Largest fan-out by kind of pin",
        "",
        nets_table(design.nets).to_markdown(),
        "",
        "## Worst paths of each module",
        "",
        RULE,
        f"Of each module the longest path that passes through its own logic, and of others between other instances in it those over"
        f" {path_delays.CLOCK_NS} ns; the last table has the {path_delays.KEPT} longest of the top module.",
        "",
        paths_table((row.module, path) for row in slowest_first for path in row.shown).to_markdown(),
        "",
        f"## Longest paths of `{top.module}`, between its units",
        "",
        paths_table((top.module, path) for path in top.paths).to_markdown(),
        "",
        f"{configuration.name} on {configuration.part} {verdict(judgements)[0]}",
    ]
    return "\n".join(lines) + "\n"
