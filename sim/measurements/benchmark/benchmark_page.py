"""The page of a benchmark: one self-contained HTML file that says of every figure how it was found."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from operator import itemgetter

from moesaic.sim.measurements.benchmark.account import CAUSES
from moesaic.sim.measurements.benchmark.cases import ALL_OFF, ALL_ON
from moesaic.sim.measurements.benchmark.charts import PALETTE, Line, bars, chart, stacked_bars
from moesaic.sim.measurements.benchmark.published import PUBLISHED
from moesaic.sim.measurements.benchmark.technique_resources import technique_cost
from moesaic.sim.measurements.road.markup import Markup, element, table, text

_COLOURS = dict(zip(CAUSES, PALETTE))
_MEASURED = "Measured in RTL simulation of the whole accelerator with a model of the DRAM"
_MEGA = 1e6


def page(document: dict) -> str:
    """The whole HTML document for the content of bench.json."""
    sections = [
        _header(document),
        _frames(document["frames"]),
        _asked(document["asked"]),
        _others(document["frames"]),
        _roofline(document["frames"]),
        _account(document["frames"]),
        _units(document["frames"]),
        _ablation(document["ablation"], document["modules"]),
        _scaling(document["scaling"]),
        _estimates([*document["frames"], *document["ablation"], *document["scaling"]]),
        _proof(document),
    ]
    style = "".join(
        resources.files(package).joinpath("style.css").read_text()
        for package in ("moesaic.sim.measurements.road", __package__)
    )
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Benchmark · moesaic</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>\n{style}</style></head>\n'
    )
    return head + "<body><main>\n" + "\n".join(section for section in sections if section) + "\n</main></body></html>\n"


def _section(title: str, introduction: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), element("p", introduction, kind="soft"), *content)


def _of(entry: dict) -> str:
    return f"{entry['model']} {entry['input']}"


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def _verdict(condition: bool, yes: str, no: str) -> Markup:
    return element("b", yes if condition else no, kind="good" if condition else "bad")


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
    notes = [element("p", failure, kind="bad") for failure in document["failed"]]
    if document["cases_left"]:
        notes.append(
            element("p", f"Not finished: {document['cases_left']} cases are left; run it again to go on.", kind="bad")
        )
    return Markup(
        element("h1", "Whole frames on the simulated RTL")
        + element("p", about, kind="soft")
        + element("p", "Fingerprint of the accelerator: ", element("code", document["fingerprint"]))
        + "".join(notes)
    )


def _frames(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    rows, more = [], []
    for e in entries:
        asked = e["asked"]
        wrong = e["mismatched_bytes"] + (e["csim_mismatched_bytes"] or 0) + e["integer_network_mismatches"]
        rows.append((
            _of(e), e["cycles"], e["limit"], f"{e['ratio']:.3f}", asked,
            _verdict(e["cycles"] <= asked, "met", "missed") if asked else None,
            f"{e['milliseconds_at_assumed_clock']:.3f}", _percent(e["mac_utilisation"]), f"{e['gops_per_dsp']:.2f}",
            _verdict(wrong == 0, "0", f"{wrong:,}"),
        ))  # fmt: skip
        switch = e["task_switch"]
        more.append((
            _of(e), e["task"], e["macs"], f"{e['dram_bytes'] / _MEGA:.2f}", e["head_cycles"],
            "not run" if switch is None else f"{switch['extra_cycles']:+,} in {switch['task_changes']} comparisons",
            e["compared_bytes"], f"{e['simulated_seconds'] / len(e['runs']):.0f} s",
            None if e["build_seconds"] is None else f"{e['build_seconds']:.0f} s",
        ))  # fmt: skip
    header = (
        "encoder", "cycles", "limit", "ratio", "asked: at most", "", "ms at an assumed 300 MHz", "MAC utilisation", "GOPS/DSP",
        "bytes that differ",
    )  # fmt: skip
    detail = (
        "encoder", "task", "MACs", "DRAM MB", "head's cycles after it", "extra cycles for a change of task", "bytes compared",
        "simulation of a frame", "Verilator build",
    )  # fmt: skip
    introduction = (
        f"{_MEASURED}. The limit is computed: the larger of the network's multiply-accumulates over those of the array, and its int8 "
        "weights over 42.67 bytes a cycle. Shown is the slowest of the frames run, without the task's head, so that it compares with "
        "what others publish. MAC utilisation counts the network's multiplications only, no padding; GOPS/DSP divides twice "
        "those per second by the DSPs of the resource estimate. After each frame the whole frame memory is compared with the "
        "reference machine's, and that of the C++, and the output with the integer network's."
    )
    return _section("Frames against their limits", introduction, table(header, rows), element("p"), table(detail, more))


def _asked(figures: Sequence[dict]) -> Markup | None:
    if not figures:
        return None
    rows = [
        (f["figure"], f["of"], f"asked {f['asked']}", f["measured"], _verdict(f["met"], "met", "missed"))
        for f in figures
    ]
    introduction = (
        f"{_MEASURED}; seconds are those of the machine that ran it, GOPS per DSP is at an assumed 300 MHz. The estimate is compared for "
        "the encoder and for the whole frame; the larger difference is shown."
    )
    return _section("What was asked", introduction, table(("figure", "of", "asked", "measured", ""), rows))


def _others(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    ours = {_of(e): e["cycles"] for e in entries}
    names = {"m3vit_tiny 128x256": "M3ViT-T 128x256", "m3vit_small 480x640": "M3ViT-S 480x640"}
    parts: list[Markup] = []
    for name, model in names.items():
        if name in ours:
            rows = [
                (f"{p.design} ({p.device.split(',')[0]})", p.cycles, f"{p.cycles / _MEGA:.2f} M")
                for p in PUBLISHED
                if p.model == model
            ]
            rows.append(("this, in RTL simulation", ours[name], f"{ours[name] / _MEGA:.2f} M"))
            colours = [*("#94a3b8" for _ in rows[1:]), PALETTE[0]]
            parts += [element("h3", f"{model}: cycles per frame"), bars(rows, colours)]
    cited = [(p.design, p.source, p.device, p.precision, p.model, p.cycles, p.note) for p in PUBLISHED]
    header = ("design", "source", "device", "precision", "model, input", "cycles per frame", "note")
    introduction = (
        "Cycles per frame as published, or milliseconds times the published clock. Theirs were measured on boards where nothing else "
        "is said, ours in RTL simulation: a board's DRAM can be slower than the model's, and a clock of 300 MHz is an assumption."
    )
    return _section("Beside what others publish", introduction, *parts, table(header, cited))


def _roofline(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    peak, rate = entries[0]["macs_per_cycle"], entries[0]["bytes_per_cycle"]
    points = [(e["macs"] / e["dram_bytes"], e["macs"] / e["cycles"]) for e in entries]
    ridge = peak / rate
    low, high = min([x for x, _ in points] + [ridge]) / 2, max([x for x, _ in points] + [ridge]) * 2
    roof = [(low, low * rate), (ridge, peak), (high, peak)]
    lines = [
        Line(f"roof: {peak:,} MAC a cycle, {rate:.2f} B a cycle", roof, "#64748b", marked=False),
        *(
            Line(f"{_of(e)}: {_percent(point[1] / min(peak, point[0] * rate))} of its roof", [point], PALETTE[index])
            for index, (e, point) in enumerate(zip(entries, points))
        ),
    ]
    introduction = (
        f"{_MEASURED}. Across: the network's multiply-accumulates per byte that moved between DRAM and the accelerator in the encoder; "
        "up: multiply-accumulates per cycle. Left of the corner DRAM is the roof, right of it the array."
    )
    return _section("Roofline", introduction, chart(lines, "MACs per DRAM byte", "MACs per cycle"))


def _account(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    header = ("cause", *(_of(e) for e in entries))
    rows = [
        (meaning, *(e["array"][cause] for e in entries))
        for cause, meaning in CAUSES.items()
        if any(e["array"][cause] for e in entries)
    ]
    rows.append(("sum: the encoder's cycles", *(sum(e["array"].values()) for e in entries)))
    introduction = (
        f"{_MEASURED}, cycle by cycle: in each, the array multiplies for the network, multiplies padding, or waits for one thing. "
        "A wait for a semaphore counts for the unit whose signal came last."
    )
    chart_ = stacked_bars({_of(e): e["array"] for e in entries}, _COLOURS, CAUSES)
    return _section("Where the array's cycles go", introduction, chart_, table(header, rows))


def _units(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    rows = [
        (
            _of(e), unit, values["busy"], _percent(values["busy"] / e["cycles"]),
            ", ".join(f"{cause.replace('_', ' ')} {cycles:,}" for cause, cycles in values["stall"].items() if cycles) or "none",
        )
        for e in entries
        for unit, values in e["units"].items()
    ]  # fmt: skip
    introduction = (
        f"{_MEASURED}, for the encoder. Units work side by side, so a unit's wait is lost only where the array waits for it. "
        "Waits for DRAM, operands and the drain are part of the busy cycles; those for semaphores and for a full queue are not. Load "
        "waits for DRAM in cycles in which no port gets a beat while data is due; cycles with fewer beats than ports are not among them."
    )
    return _section(
        "Units", introduction, table(("encoder", "unit", "busy cycles", "share", "cycles waiting, by cause"), rows)
    )


def _ablation(entries: Sequence[dict], modules: dict | None) -> Markup | None:
    if not entries:
        return None
    base = next((e["cycles"] for e in entries if e["label"] == ALL_ON), None)
    names = [e["label"] if e["label"] in (ALL_ON, ALL_OFF) else f"{e['label']} off" for e in entries]
    rows = [
        (
            name, e["cycles"], None if base is None else f"{e['cycles'] / base:.2f}", f"{e['dram_bytes'] / _MEGA:.2f}",
            *(e["estimated_resources"][kind] for kind in ("dsp", "bram36", "uram", "lut")),
            _verdict(e["mismatched_bytes"] == 0, "0", f"{e['mismatched_bytes']:,}"), technique_cost(e, entries[0], modules),
        )
        for name, e in zip(names, entries)
    ]  # fmt: skip
    header = (
        "",
        "cycles",
        "times",
        "DRAM MB",
        "DSP",
        "BRAM36",
        "URAM",
        "LUT",
        "bytes that differ",
        "the technique takes",
    )
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
    charted = [(name, e["cycles"], f"{e['cycles'] / _MEGA:.2f} M cycles") for name, e in zip(names, entries)]
    return _section("What each technique is worth", introduction, bars(charted, [PALETTE[0]]), table(header, rows))


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
                Line(f"{model}: measured", measured, PALETTE[number], labels=[f"{e['ratio']:.2f}" for e in chosen]),
                Line(f"{model}: limit", limits, PALETTE[number], dashed=True, marked=False),
            ]
        if lines:
            parts += [element("h3", f"cycles over {title}"), chart(lines, title, "cycles of the encoder")]
    if not parts:
        return None
    rows = [
        (
            e["model"], e["label"], e["macs_per_cycle"], f"{e['bytes_per_cycle']:.2f}", e["configuration"]["load_ports"], e["cycles"],
            e["limit"], f"{e['ratio']:.3f}", _percent(e["mac_utilisation"]), e["estimated_resources"]["dsp"],
            _verdict(e["mismatched_bytes"] == 0, "0", f"{e['mismatched_bytes']:,}"),
        )
        for e in entries
    ]  # fmt: skip
    header = (
        "model", "machine", "MAC/cycle", "B/cycle", "load ports", "cycles", "limit", "ratio", "MAC utilisation", "DSP",
        "bytes that differ",
    )  # fmt: skip
    introduction = (
        f"The frame {entries[0]['input']} on other arrays and with other DRAM rates. {_MEASURED}, each machine compiled and simulated; "
        "the numbers at the points are cycles over the limit. The memories are those of the configuration. The DRAM rate above 48 "
        "B/cycle has a fourth load port; an array of more than 12 rows does not fit the ZCU104 but a larger part of its family."
    )
    return _section("Scaling", introduction, *parts, table(header, rows))


def _estimates(entries: Sequence[dict]) -> Markup | None:
    if not entries:
        return None
    rows = [
        (
            ", ".join(part for part in (_of(e), e["label"]) if part), e["total_cycles"], e["estimated_total_cycles"],
            f"{100 * (e['estimated_total_cycles'] / e['total_cycles'] - 1):+.1f} %",
        )
        for e in entries
    ]  # fmt: skip
    introduction = (
        "What `moesaic estimate` says from sizes alone, without weights and with tokens shared evenly among the experts, beside the "
        "measured cycles; whole frames, with the head."
    )
    return _section("The estimate", introduction, table(("frame", "measured", "estimated", "difference"), rows))


def _proof(document: dict) -> Markup:
    rows = [
        (
            "the integers of every frame",
            "RTL, C++ and reference machine compared byte by byte",
            "random weights, one image each",
        ),
        (
            "cycles and DRAM bytes",
            "measured in RTL simulation",
            "with a DRAM model: 16 B/cycle a port, 60 cycles to the first beat",
        ),
        ("clock frequency", "assumed 300 MHz", "no place and route has been run"),
        ("DSP, BRAM36, URAM, LUT", "estimated", "from the structure; `make resources` counts them by synthesis"),
        ("power, a board", "not measured", "needs a board"),
    ]
    sizes = table(("parameter", "value"), [(key, text(value)) for key, value in document["configuration"].items()])
    return _section(
        "What is measured and what is not", "Of the figures on this page.", table(("figure", "how it was found", "remark"), rows),
        element("h3", "configuration"), sizes,
    )  # fmt: skip
