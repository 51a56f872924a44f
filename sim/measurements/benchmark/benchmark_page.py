"""The page of a benchmark: one self-contained HTML file that states how each figure was found."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from moesaic.pages.axes import LogarithmicAxis
from moesaic.pages.bars import Bar, bars, stacked_bars
from moesaic.pages.document import heading, page, paragraph, section
from moesaic.pages.lines import Line, Panel, line_chart
from moesaic.pages.markup import Markup, element, join
from moesaic.pages.number_formats import millions, percent
from moesaic.pages.palette import REFERENCE, SERIES, series_colours
from moesaic.pages.tables import Column, Table
from moesaic.sim.measurements.benchmark.account import CAUSES
from moesaic.sim.measurements.benchmark.benchmark_tables import (
    ablation_table,
    account_table,
    asked_table,
    dram_table,
    entry_name,
    estimates_table,
    frame_details_table,
    frame_name,
    frames_table,
    joint_table,
    proof_table,
    published_table,
    scaling_table,
    speed_table,
    technique_name,
    units_table,
)
from moesaic.sim.measurements.benchmark.published import PUBLISHED
from moesaic.spec.dram_timing import BYTES_PER_CYCLE

_MEASURED = "Measured in RTL simulation of the whole accelerator with a model of the DRAM"
_MEGA = 1e6
_NAMES_ELSEWHERE = {"m3vit_tiny 128x256": "M3ViT-T 128x256", "m3vit_small 480x640": "M3ViT-S 480x640"}
"""Our frames, each with the name that publications use for it."""


def benchmark_page(document: dict) -> str:
    """The whole HTML document. document: the content of bench.json."""
    return page(
        "Benchmark",
        _header(document),
        _frames(document["frames"]),
        _asked(document["asked"]),
        _others(document["frames"]),
        _roofline([*document["frames"], *_of_this_configuration(document)]),
        _account([*document["frames"], *document["joint"]]),
        _units(document["frames"]),
        _joint(document["joint"]),
        _ablation(document["ablation"], document["modules"]),
        _scaling(document["scaling"]),
        _dram(document["dram"], document["frames"]),
        _speed(document["frames"]),
        _estimates([*document["frames"], *document["ablation"], *document["scaling"], *document["joint"]]),
        _proof(document),
    )


def _header(document: dict) -> Markup:
    c = document["configuration"]
    macs = c["tile_rows"] * c["tile_columns"] * c["tile_depth"]
    about = (
        f"The configuration {c['name']}: {macs:,} int8 multiply-accumulates a cycle ({c['tile_rows']} rows x {c['tile_columns']} "
        f"columns x {c['tile_depth']}), {c['load_ports']} load ports of 16 bytes. {_MEASURED}: cycles are clock cycles from the start "
        f"register to the end of the encoder, image and weights in DRAM. Milliseconds are these cycles at an assumed "
        f"{document['assumed_clock_hz'] / _MEGA:.0f} MHz; the clock, the fit after place and route, and power have not been measured. "
        "The networks have random weights, spread as training spreads them, exported and generated as any other."
    )
    notes = [paragraph(failure, "bad") for failure in document["failed"]]
    if document["cases_left"]:
        notes.append(paragraph(f"Not finished: {document['cases_left']} cases are left; run it again to go on.", "bad"))
    return join(
        element("h1", "Whole frames on the simulated RTL"),
        paragraph(about, "soft"),
        element("p", "Fingerprint of the accelerator: ", element("code", document["fingerprint"])),
        *notes,
    )


def _frames(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        f"{_MEASURED}. The limit is computed: the larger of the network's multiply-accumulates over those of the array, and its int8 "
        f"weights over {BYTES_PER_CYCLE:.2f} bytes a cycle. Shown is the slowest of the frames run, without the task's head, so that it "
        "compares with what others publish. MAC use counts the network's multiplications only, no padding; GOPS / DSP divides twice "
        "those per second by the DSPs of the resource estimate. After each frame the whole frame memory is compared with the "
        "reference machine's, and that of the C++, and the output with the integer network's."
    )
    tables = frames_table(entries).to_html(), frame_details_table(entries).to_html()
    return section("Frames against their limits", introduction, *tables)


def _asked(figures: Sequence[dict]) -> Markup | None:
    if not figures:
        return None
    introduction = (
        f"{_MEASURED}; seconds are those of the machine that ran it, GOPS per DSP is at the assumed clock. The estimate is compared "
        "for the encoder and for the whole frame; the larger difference is shown."
    )
    return section("What was asked", introduction, asked_table(figures).to_html())


def _others(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    parts: list[Markup] = []
    for entry in entries:
        model = _NAMES_ELSEWHERE.get(frame_name(entry))
        if model is not None:
            published = [
                Bar(f"{p.design} ({p.device.split(',')[0]})", p.cycles, _millions(p.cycles), REFERENCE)
                for p in PUBLISHED
                if p.model == model
            ]
            ours = Bar("this, in RTL simulation", entry["cycles"], _millions(entry["cycles"]))
            parts += [heading(f"{model}: cycles per frame"), bars([*published, ours]).inline()]
    introduction = (
        "Cycles per frame as published, or milliseconds times the published clock. Theirs were measured on boards where nothing else "
        "is said, ours in RTL simulation: a board's DRAM can be slower than the model's, and the clock is an assumption."
    )
    return section("Beside what others publish", introduction, *parts, published_table().to_html())


def _roofline(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    peak, rate = entries[0]["macs_per_cycle"], entries[0]["bytes_per_cycle"]
    # DRAM bytes of the joint part are per picture.
    points = [(e["macs"] / (e["dram_bytes"] * e.get("batch", 1)), e["macs"] / e["cycles"]) for e in entries]
    ridge = peak / rate
    low, high = min([x for x, _ in points] + [ridge]) / 2, max([x for x, _ in points] + [ridge]) * 2
    roof = [(low, low * rate), (ridge, peak), (high, peak)]
    lines = [
        Line(f"roof: {peak:,} MAC a cycle, {rate:.2f} B a cycle", roof, REFERENCE, marked=False),
        *(
            Line(
                f"{entry_name(e)}: {percent()(point[1] / min(peak, point[0] * rate))} of its roof",
                [point],
                SERIES[index],
            )
            for index, (e, point) in enumerate(zip(entries, points))
        ),
    ]
    introduction = (
        f"{_MEASURED}. Across: the network's multiply-accumulates per byte that moved between DRAM and the accelerator in the encoder; "
        "up: multiply-accumulates per cycle. Left of the corner DRAM is the roof, right of it the array."
    )
    return section("Roofline", introduction, _logarithmic_chart(lines, "MACs per DRAM byte", "MACs per cycle"))


def _of_this_configuration(document: dict) -> list[dict]:
    """The entries of the joint part that are of the document's own configuration."""
    return [entry for entry in document["joint"] if entry["config"] == document["configuration"]["name"]]


def _logarithmic_chart(lines: Sequence[Line], x_title: str, y_title: str) -> Markup:
    x_axis, y_axis = (
        LogarithmicAxis.around([point[side] for line in lines for point in line.points]) for side in (0, 1)
    )
    return line_chart([[Panel(lines, x_axis, y_axis, x_title, y_title)]]).inline()


def _millions(cycles: int) -> str:
    return millions(2, " M")(cycles)


def _account(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        f"{_MEASURED}, cycle by cycle: in each, the array multiplies for the network, multiplies padding, or waits for one thing. "
        "A wait for a semaphore counts for the unit whose signal came last."
    )
    rows = {entry_name(e): e["array"] for e in entries}
    chart = stacked_bars(rows, series_colours(CAUSES), CAUSES, "cycles").inline()
    return section("Where the array's cycles go", introduction, chart, account_table(entries).to_html())


def _units(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        f"{_MEASURED}, for the encoder. Units work side by side, so a unit's wait is lost only where the array waits for it. "
        "Waits for DRAM, operands and the drain are part of the busy cycles; those for semaphores and for a full queue are not. Load "
        "waits for DRAM in cycles in which no port gets a beat while data is due; cycles with fewer beats than ports are not among them."
    )
    return section("Units", introduction, units_table(entries).to_html())


def _ablation(entries: Sequence[dict], modules: dict | None) -> Markup | None:
    if not entries:
        return None
    introduction = (
        f"{entries[0]['model']} {entries[0]['input']}, cycles of the encoder and its DRAM bytes. {_MEASURED}; resources are the structural "
        "estimate before place and route. Prefetch off: a layer's weights are loaded after all products before it. Patch reordering off: "
        "token by token, each loading the weights of the experts that it chose. Single-pass softmax off: three sweeps over the scores "
        "by the same unit, for maximum, sum and quotient; the maxima are still tracked and used, so this is a model of the cost of the "
        "sweeps. Attention reordering off: one row of queries at a time meets the keys. Table GELU off: between the two layers of an MLP "
        "or an expert the vector unit goes over the hidden activations once more, as a GELU unit that the results do not pass on their "
        "way to memory would, 128 elements a cycle and an even share of the tokens for each expert; what it computes is thrown away, so "
        "this too is a model of the cost. Unified unit off: two units, one for attention and one for the rest; as each needs the "
        "other's results one of them works at a time, which costs the cycles of an array with half the rows; array and lanes are counted "
        "twice. The last column is what the technique itself takes of the machine, as open synthesis counts its modules (`make resources`)."
    )
    chart = bars([Bar(technique_name(e), e["cycles"], f"{_millions(e['cycles'])} cycles") for e in entries]).inline()
    return section("What each technique is worth", introduction, chart, ablation_table(entries, modules).to_html())


def _scaling(entries: Sequence[dict]) -> Markup | None:
    parts: list[Markup] = []
    axes = {
        "array": ("macs_per_cycle", "MACs per cycle of the array"),
        "DRAM": ("bytes_per_cycle", "DRAM bytes per cycle"),
    }
    for series, (field, title) in axes.items():
        lines = []
        for number, model in enumerate(dict.fromkeys(e["model"] for e in entries if e["series"] == series)):
            chosen = [e for e in entries if e["series"] == series and e["model"] == model]
            chosen.sort(key=itemgetter(field))
            measured = [(e[field], e["cycles"]) for e in chosen]
            limits = [(e[field], e["limit"]) for e in chosen]
            lines += [
                Line(f"{model}: measured", measured, SERIES[number], labels=[f"{e['ratio']:.2f}" for e in chosen]),
                Line(f"{model}: limit", limits, SERIES[number], dashed=True, marked=False),
            ]
        if lines:
            parts += [heading(f"cycles over {title}"), _logarithmic_chart(lines, title, "cycles of the encoder")]
    if not parts:
        return None
    introduction = (
        f"The frame {entries[0]['input']} on other arrays and with other DRAM rates. {_MEASURED}, each machine compiled and simulated; "
        "the numbers at the points are cycles over the limit. The memories are those of the configuration. The DRAM rate above 48 "
        "B/cycle has a fourth load port; an array of more than 12 rows does not fit the ZCU104 but a larger part of its family."
    )
    return section("Scaling", introduction, *parts, scaling_table(entries).to_html())


def _joint(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        "Runs that wait for fewer bytes of weights: several tasks of a picture or several pictures of a task in one run, in which every "
        "weight is loaded once; experts of 4 bits; and pathways that keep the experts that a task uses most. "
        f"{_MEASURED}; cycles, limit and DRAM bytes are per picture, and the limit counts what the whole run has to multiply and load."
    )
    return section("Shared weights, fewer bytes", introduction, joint_table(entries).to_html())


def _dram(entries: Sequence[dict], frames: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        f"The frames behind a model of the board's DDR4 and its controller, instead of the flat one of {BYTES_PER_CYCLE:.2f} bytes a "
        "cycle: banks, rows, refresh, turnaround, queues. The limit assumes what the load ports and the memory's pins can move."
    )
    return section("Behind a DDR4", introduction, dram_table(entries, frames).to_html())


def _speed(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        "The emulator is the accelerator's C++ compiled for this machine's processor. It computes a whole frame of one task in exactly the "
        "accelerator's integers; PyTorch computes the same task in float32. One thread each, in turns, the median of seven."
    )
    return section("Without a board", introduction, speed_table(entries).to_html())


def _estimates(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    introduction = (
        "What `moesaic estimate` says from sizes alone, without weights and with tokens shared evenly among the experts, beside the "
        "measured cycles; whole frames, with the head."
    )
    return section("The estimate", introduction, estimates_table(entries).to_html())


def _proof(document: dict) -> Markup:
    sizes = Table((Column("parameter"), Column("value")), list(document["configuration"].items()))
    return section(
        "What is measured and what is not",
        "Of the figures on this page.",
        proof_table(document["assumed_clock_hz"]).to_html(),
        heading("configuration"),
        sizes.to_html(),
    )
