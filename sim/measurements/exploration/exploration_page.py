"""Explored configurations as a table, as TOML and as a chart of cycles over DSPs."""

from __future__ import annotations

from collections.abc import Sequence

from moesaic.hls.compiler.exploration import Candidate, Frame
from moesaic.hls.hardware.devices import device_of
from moesaic.pages.axes import LinearAxis
from moesaic.pages.drawing import Drawing
from moesaic.pages.lines import Line, Panel, line_chart
from moesaic.pages.number_formats import count, decimals
from moesaic.pages.palette import REFERENCE, SERIES
from moesaic.pages.tables import Column, Table

_SHARES = {"dsp": "DSP %", "bram36": "BRAM %", "uram": "URAM %", "lut": "LUT %", "lut_memory": "LUT RAM %"}


def candidates_table(candidates: Sequence[Candidate], frames: Sequence[Frame]) -> Table:
    """A row for each candidate: sizes, encoder cycles of each frame, and shares of the device."""
    columns = (
        Column("name"), Column("array"), Column("MAC/cycle", count), Column("weights KiB", count), Column("shared KiB", count),
        Column("activations KiB", count), *(Column(frame.name, count) for frame in frames),
        *(Column(title, decimals(1)) for title in _SHARES.values()),
    )  # fmt: skip
    return Table(columns, [_row(candidate) for candidate in candidates])


def _row(candidate: Candidate) -> list[str | float]:
    c, device = candidate.configuration, device_of(candidate.configuration)
    totals = {name: getattr(device, name) for name in _SHARES}
    shares = [100 * amount / totals[name] if totals[name] else 0.0 for name, amount in candidate.need.to_dict().items()]
    memories = (c.weight_bytes / 1024, c.shared_bytes / 1024, c.act_bytes / 1024)
    return [c.name, c.array, c.macs_per_cycle, *memories, *candidate.cycles, *shares]


def configuration_toml(candidate: Candidate, frames: Sequence[Frame]) -> str:
    """The configuration as a file that `moesaic generate` takes, with its estimates as comments."""
    lines = [
        "# Found by moesaic explore. Encoder cycles by estimate:",
        *(f"# {frame.name} {cycles:,.0f}" for frame, cycles in zip(frames, candidate.cycles)),
    ]
    for name, value in candidate.configuration.to_dict().items():
        if name not in ("name", "tables"):
            lines.append(f"{name} = {value}" if isinstance(value, int) else f'{name} = "{value}"')
    return "\n".join(lines) + "\n"


def pareto_chart(candidates: Sequence[Candidate], front: Sequence[Candidate]) -> Drawing:
    """Mean cycles over DSPs of all candidates; those of the front are joined and named by their arrays."""

    def points(some: Sequence[Candidate]) -> list[tuple[float, float]]:
        return [(candidate.need.dsp, candidate.score) for candidate in some]

    others = [
        Line("configuration inside the guidelines", [point], REFERENCE) for point in dict.fromkeys(points(candidates))
    ]
    best = Line(
        "no other has fewer cycles on as few DSPs",
        points(front),
        SERIES[0],
        labels=[c.configuration.array for c in front],
    )
    every = points(candidates)
    axes = (
        LinearAxis.around([x for x, _ in every], from_zero=True),
        LinearAxis.around([y for _, y in every], from_zero=True),
    )
    panel = Panel([*others, best], *axes, "DSP48E2", "encoder cycles, geometric mean over the models")
    return line_chart([[panel]])
