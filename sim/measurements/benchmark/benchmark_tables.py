"""The tables of a benchmark, as shown on its page and in the terminal. Entries and figures are those of bench.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moesaic.pages.number_formats import count, decimals, millions, percent, signed
from moesaic.pages.tables import Cell, Column, Table, Value
from moesaic.sim.measurements.benchmark.account import CAUSES
from moesaic.sim.measurements.benchmark.cases import ALL_OFF, ALL_ON
from moesaic.sim.measurements.benchmark.derived import wrong_bytes
from moesaic.sim.measurements.benchmark.published import PUBLISHED
from moesaic.sim.measurements.benchmark.technique_resources import technique_cost
from moesaic.spec.dram_timing import BEAT_BYTES, LATENCY


def frame_name(entry: dict) -> str:
    """Model and input size, such as "m3vit_tiny 128x256"."""
    return f"{entry['model']} {entry['input']}"


def entry_name(entry: dict) -> str:
    """The same; of the joint part also what is special and the configuration."""
    return ", ".join((frame_name(entry), entry["label"], entry["config"])) if "config" in entry else frame_name(entry)


def frames_table(entries: Sequence[dict]) -> Table:
    """The frames compared with their limits."""
    columns = (
        Column("encoder"), Column("cycles", count), Column("limit", count), Column("ratio", decimals(3)),
        Column("asked: at most", count), Column("asked"), Column("ms at the assumed clock", decimals(3)),
        Column("MAC use", percent()), Column("GOPS / DSP", decimals(2)), Column("bytes that differ", count),
    )  # fmt: skip
    rows = [
        (
            frame_name(e), e["cycles"], e["limit"], e["ratio"], e["asked"],
            None if e["asked"] is None else _verdict(e["cycles"] <= e["asked"]),
            e["milliseconds_at_assumed_clock"], e["mac_utilisation"], e["gops_per_dsp"], _differing(wrong_bytes(e)),
        )
        for e in entries
    ]  # fmt: skip
    return Table(columns, rows)


def frame_details_table(entries: Sequence[dict]) -> Table:
    """Further measurements of the frames."""
    columns = (
        Column("encoder"), Column("task"), Column("MACs", count), Column("DRAM MB", millions()),
        Column("head's cycles after it", count), Column("extra cycles for a change of task"), Column("bytes compared", count),
        Column("simulation of a frame", decimals(0, " s")), Column("Verilator build", decimals(0, " s")),
    )  # fmt: skip
    rows = []
    for e in entries:
        switch = e["task_switch"]
        switched = (
            "not run" if switch is None else f"{switch['extra_cycles']:+,} in {switch['task_changes']} comparisons"
        )
        rows.append((
            frame_name(e), e["task"], e["macs"], e["dram_bytes"], e["head_cycles"], switched, e["compared_bytes"],
            e["simulated_seconds"] / len(e["runs"]), e["build_seconds"],
        ))  # fmt: skip
    return Table(columns, rows)


def speed_table(entries: Sequence[dict]) -> Table:
    """The emulator beside PyTorch."""
    columns = (
        Column("whole frame"), Column("emulator, ms", decimals(1)), Column("PyTorch float32, ms", decimals(1)),
        Column("times as fast", decimals(2)),
    )  # fmt: skip
    rows = [
        (
            frame_name(e), 1e3 * e["emulator_seconds"], 1e3 * e["pytorch_seconds"],
            e["pytorch_seconds"] / e["emulator_seconds"],
        )
        for e in entries
    ]  # fmt: skip
    return Table(columns, rows)


def asked_table(figures: Sequence[dict]) -> Table:
    """The targets and what was measured."""
    columns = (Column("figure"), Column("of"), Column("asked"), Column("measured"), Column("verdict"))
    return Table(columns, [(f["figure"], f["of"], f["asked"], f["measured"], _verdict(f["met"])) for f in figures])


def published_table() -> Table:
    """The published figures of other designs, with their sources."""
    columns = (
        Column("design"), Column("source"), Column("device"), Column("precision"), Column("model, input"),
        Column("cycles per frame", count), Column("note"),
    )  # fmt: skip
    return Table(columns, [(p.design, p.source, p.device, p.precision, p.model, p.cycles, p.note) for p in PUBLISHED])


def account_table(entries: Sequence[dict]) -> Table:
    """The array's cycles by cause; the last row is their sum."""
    rows: list[tuple[Value | Cell, ...]] = [
        (meaning, *(e["array"][cause] for e in entries))
        for cause, meaning in CAUSES.items()
        if any(e["array"][cause] for e in entries)
    ]
    sums = (Cell(sum(e["array"].values()), "strong") for e in entries)
    rows.append((Cell("sum: the encoder's cycles", "strong"), *sums))
    return Table((Column("cause"), *(Column(entry_name(e), count) for e in entries)), rows)


def units_table(entries: Sequence[dict]) -> Table:
    """Busy and waiting cycles of every unit."""
    columns = (
        Column("encoder"), Column("unit"), Column("busy cycles", count), Column("share", percent()), Column("cycles waiting, by cause"),
    )  # fmt: skip
    rows = [
        (frame_name(e), unit, values["busy"], values["busy"] / e["cycles"], _causes(values["stall"]))
        for e in entries
        for unit, values in e["units"].items()
    ]
    return Table(columns, rows)


def _causes(stall: Mapping[str, int]) -> str:
    return ", ".join(f"{cause.replace('_', ' ')} {cycles:,}" for cause, cycles in stall.items() if cycles) or "none"


def technique_name(entry: dict) -> str:
    """The technique that an entry of the ablation switches off, in words."""
    label = entry["label"]
    return label if label in (ALL_ON, ALL_OFF) else f"{label} off"


def ablation_table(entries: Sequence[dict], modules: dict[str, dict[str, float]] | None) -> Table:
    """Each technique switched off. modules: as `technique_resources.synthesised_modules` returns them."""
    columns = (
        Column("technique"), Column("cycles", count), Column("times", decimals(2)), Column("ratio", decimals(3)),
        Column("DRAM MB", millions()), Column("DSP", count), Column("BRAM36", count), Column("URAM", count), Column("LUT", count),
        Column("bytes that differ", count), Column("the technique takes"),
    )  # fmt: skip
    base = next((e["cycles"] for e in entries if e["label"] == ALL_ON), None)
    rows = [
        (
            technique_name(e), e["cycles"], None if base is None else e["cycles"] / base, e["ratio"], e["dram_bytes"],
            *(e["estimated_resources"][kind] for kind in ("dsp", "bram36", "uram", "lut")),
            _differing(e["mismatched_bytes"]), technique_cost(e, entries[0], modules),
        )
        for e in entries
    ]  # fmt: skip
    return Table(columns, rows)


def scaling_table(entries: Sequence[dict]) -> Table:
    """The frames on other arrays and at other DRAM rates."""
    columns = (
        Column("model"), Column("machine"), Column("MAC/cycle", count), Column("B/cycle", decimals(2)), Column("load ports", count),
        Column("cycles", count), Column("limit", count), Column("ratio", decimals(3)), Column("DRAM MB", millions()),
        Column("MAC use", percent()), Column("DSP", count), Column("bytes that differ", count),
    )  # fmt: skip
    rows = [
        (
            e["model"], e["label"], e["macs_per_cycle"], e["bytes_per_cycle"], e["configuration"]["load_ports"], e["cycles"],
            e["limit"], e["ratio"], e["dram_bytes"], e["mac_utilisation"], e["estimated_resources"]["dsp"],
            _differing(e["mismatched_bytes"]),
        )
        for e in entries
    ]  # fmt: skip
    return Table(columns, rows)


def joint_table(entries: Sequence[dict]) -> Table:
    """The frames that share or save bytes of weights."""
    columns = (
        Column("encoder"), Column("run"), Column("configuration"), Column("tasks"), Column("pictures", count),
        Column("bits of experts", count),
        Column("experts", count), Column("per picture", count), Column("limit", count), Column("ratio", decimals(3)),
        Column("asked: at most", count), Column("asked"), Column("DRAM MB", millions()), Column("MAC use", percent()),
        Column("bytes that differ", count),
    )  # fmt: skip
    rows = [
        (
            frame_name(e), e["label"], e["config"], ", ".join(e["tasks"]), e["batch"], e["expert_bits"], e["experts_kept"],
            e["cycles_per_picture"],
            e["limit"], e["ratio"], e["asked"], None if e["asked"] is None else _verdict(e["cycles_per_picture"] <= e["asked"]),
            e["dram_bytes"], e["mac_utilisation"], _differing(wrong_bytes(e)),
        )
        for e in entries
    ]  # fmt: skip
    return Table(columns, rows)


def dram_table(entries: Sequence[dict], frames: Sequence[dict]) -> Table:
    """Frames behind a DDR4, beside the same behind the flat model if they were run. entries, frames: those parts of bench.json."""
    flat = {frame_name(e): e["cycles"] for e in frames}
    columns = (
        Column("encoder"), Column("DRAM"), Column("cycles", count), Column("flat model", count), Column("difference", signed(2, " %")),
        Column("limit", count), Column("ratio", decimals(3)), Column("DRAM MB", millions()), Column("bytes that differ", count),
    )  # fmt: skip
    rows = []
    for e in entries:
        other = flat.get(frame_name(e))
        difference = None if other is None else 100 * (e["cycles"] / other - 1)
        rows.append((
            frame_name(e), e["label"], e["cycles"], other, difference, e["limit"], e["ratio"], e["dram_bytes"],
            _differing(e["mismatched_bytes"]),
        ))  # fmt: skip
    return Table(columns, rows)


def estimates_table(entries: Sequence[dict]) -> Table:
    """Estimated beside measured cycles of whole frames."""
    columns = (
        Column("frame"),
        Column("measured", count),
        Column("estimated", count),
        Column("difference", signed(1, " %")),
    )
    rows = [
        (
            ", ".join(part for part in (frame_name(e), e["label"]) if part), e["total_cycles"], e["estimated_total_cycles"],
            100 * (e["estimated_total_cycles"] / e["total_cycles"] - 1),
        )
        for e in entries
    ]  # fmt: skip
    return Table(columns, rows)


def proof_table(clock_hz: float) -> Table:
    """How each figure was found. clock_hz: the clock frequency assumed for milliseconds, in Hz."""
    rows = [
        (
            "the integers of every frame",
            "RTL, C++ and reference machine compared byte by byte",
            "random weights, one image each",
        ),
        (
            "cycles and DRAM bytes",
            "measured in RTL simulation",
            f"with a DRAM model: {BEAT_BYTES} B/cycle a port, {LATENCY} cycles to the first beat",
        ),
        ("clock frequency", f"assumed {clock_hz / 1e6:.0f} MHz", "no place and route has been run"),
        ("DSP, BRAM36, URAM, LUT", "estimated", "from the structure; `make resources` counts them by synthesis"),
        ("power, a board", "not measured", "needs a board"),
    ]
    return Table((Column("figure"), Column("how it was found"), Column("remark")), rows)


def _verdict(met: bool) -> Cell:
    return Cell("met", "good") if met else Cell("missed", "bad")


def _differing(mismatches: int) -> Cell:
    return Cell(mismatches, "bad" if mismatches else "good")
