"""The comparison as tables, and as a page in HTML and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from moesaic.pages.document import page, section
from moesaic.pages.number_formats import count, decimals, percent
from moesaic.pages.tables import Cell, Column, Table
from moesaic.sim.measurements.peers.comparison import OURS, Entry
from moesaic.sim.measurements.peers.layers import SHIFT, Layer

LEAST_STEP_USE, LEAST_USE = 0.95, 0.85
"""What is asked of this project's array: use of its multipliers in the cycles in which it multiplies, and in the whole layer."""
DIFFERENCES = (
    "Both run on the same Verilator behind the same DRAM model (60 cycles to a first beat, 16 bytes a cycle and port, 42.67 in all),"
    " and start and end with all operands in DRAM. NNgen has one port, which reads and writes, of the 128 bits that are asked of it;"
    " moesaic has three that only load and one that stores and fetches its program.",
    f"Both multiply int8, add up in 32 bits with a bias for each column, divide by 2**{SHIFT} and saturate to int8. NNgen rounds halves"
    " away from zero, moesaic towards plus infinity, so a few results differ; each is compared with numpy in its own rounding, NNgen's"
    " hardware also with NNgen's software. moesaic divides by a multiplier and a shift for each column, which these layers do not need.",
    "NNgen makes an accelerator for one layer, of its sizes. moesaic is the whole machine for transformers, with layer norm, softmax and"
    " router, of its configuration's sizes: its resources are those of more than this layer needs.",
    "In the convolution, NNgen adds the border of zeros itself; for moesaic the picture has it in DRAM, and `load` lays out the pixels"
    " under the kernel, three runs for each row of the product.",
    "Multipliers are those that multiply inputs with weights. NNgen's compute one product in a cycle; in moesaic two products share a DSP."
    " Use is multiply-accumulates over what all multipliers could have done in the cycles: of the whole layer, from DRAM to DRAM; of a"
    " layer right behind another one, so that its loads are hidden (what a second run adds); and of the cycles in which the array"
    " multiplies.",
    "Resources are open synthesis by Yosys for UltraScale+, the same script for both: an estimate before place and route.",
)

_NOT_SHOWN = "A dash: NNgen's accelerators count no steps, and take no second run before the first has ended."
_NOT_SYNTHESISED = "A dash: not synthesised in this run (--no-synthesis)."


def cycles_table(entries: Sequence[Entry]) -> Table:
    """A row for each layer on each design: cycles and multipliers."""
    columns = (
        Column("layer"), Column("by"), Column("design"), Column("multipliers", count), Column("products each", count),
        Column("cycles", count), Column("MAC/multiplier/cycle", decimals(2)), Column("use", percent()),
        Column("use, loads hidden", percent()), Column("use of the steps", percent()), Column("wrong results", count),
    )  # fmt: skip
    return Table(columns, [_cycles_row(entry) for entry in entries], (_NOT_SHOWN,))


def _cycles_row(entry: Entry) -> list[Cell | str | float | None]:
    uses: list[Cell | float | None] = [entry.use(entry.cycles), entry.use(entry.next_cycles), entry.use(entry.steps)]
    if entry.by == OURS:
        uses = [
            use if least is None else _judged(use, least) for use, least in zip(uses, (LEAST_USE, None, LEAST_STEP_USE))
        ]
    wrong = Cell(float(entry.mismatches), "bad" if entry.mismatches else "good")
    return [
        entry.layer, entry.by, entry.design, entry.multipliers, entry.products, entry.cycles, entry.per_multiplier, *uses, wrong,
    ]  # fmt: skip


def _judged(use: Cell | float | None, least: float) -> Cell | float | None:
    return use if use is None or isinstance(use, Cell) else Cell(use, "good" if use >= least else "bad")


def resources_table(entries: Sequence[Entry]) -> Table:
    """A row for each design that was synthesised: resources of the whole, and DRAM traffic of the layer."""
    columns = (
        Column("layer"), Column("by"), Column("design"), Column("DSP", count), Column("LUT", count), Column("FF", count),
        Column("BRAM36", decimals(1)), Column("URAM", count), Column("MAC/DSP/cycle", decimals(2)),
        Column("bytes read", count), Column("bytes written", count),
    )  # fmt: skip
    rows = []
    for entry in entries:
        r = entry.resources
        amounts = [None] * 6 if r is None else [
            r["dsp"], r["lut"], r["ff"], r["bram36"], r["uram"], entry.macs / (r["dsp"] * entry.cycles),
        ]  # fmt: skip
        rows.append([entry.layer, entry.by, entry.design, *amounts, entry.dram_read, entry.dram_written])
    notes = ("DSPs here are all of the design, those that requantise and normalise among them.",)
    return Table(
        columns, rows, (*notes, _NOT_SYNTHESISED) if any(entry.resources is None for entry in entries) else notes
    )


def missed(entries: Sequence[Entry]) -> list[str]:
    """A line for each figure of this project that is below what is asked."""
    lines = []
    for entry in entries:
        for what, use, least in (
            ("whole layer", entry.use(entry.cycles), LEAST_USE),
            ("steps", entry.use(entry.steps), LEAST_STEP_USE),
        ):
            if entry.by == OURS and use is not None and use < least:
                lines.append(f"{entry.layer} on {entry.design}, {what}: {100 * use:.1f} % of {100 * least:.0f} % asked")
    return lines


def document(entries: Sequence[Entry], layers: Sequence[Layer], versions: dict[str, str]) -> dict:
    """The content of peers.json. versions: name of a tool to its version."""
    return {
        "versions": versions,
        "differences": list(DIFFERENCES),
        "layers": [{**vars(layer), "macs": layer.macs} for layer in layers],
        "entries": [entry.to_dict() for entry in entries],
        "missed": missed(entries),
    }


def peers_html(entries: Sequence[Entry], versions: dict[str, str]) -> str:
    """The page."""
    tools = ", ".join(f"{name} {version}" for name, version in versions.items())
    return page(
        "A peer in the same run",
        section("Cycles", f"Measured with {tools}.", cycles_table(entries).to_html()),
        section("Resources", "", resources_table(entries).to_html()),
        section("What differs", "", *(Table((Column("what"),), [[line] for line in DIFFERENCES]).to_html(),)),
    )


def peers_markdown(entries: Sequence[Entry], versions: dict[str, str]) -> str:
    """The same as Markdown."""
    tools = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        "# A peer in the same run",
        f"Measured with {tools}.",
        cycles_table(entries).to_markdown(),
        resources_table(entries).to_markdown(),
        *(f"- {line}" for line in DIFFERENCES),
    ]
    return "\n\n".join(parts) + "\n"
