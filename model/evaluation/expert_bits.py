"""Tables of networks that have experts with weights of 4 bits: what those were chosen by, and the bytes that they save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from moesaic.model.quantisation.measured_bits import MeasuredBits
from moesaic.pages.number_formats import count, percent
from moesaic.pages.tables import Column, Table
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.cost import dram_bytes


def choice_table(architecture: Architecture, measured: MeasuredBits) -> Table:
    """A row for each MoE block: how many experts have 4 bits, and the decibels that each expert alone costs, in their order."""
    four = architecture.four_bit_experts
    rows = []
    for block, experts in architecture.all_experts.items():
        found = [measured.alone.get(f"blocks.{block}.experts.{e}") for e in experts]
        marked = ["*" if e in four.get(block, ()) else "" for e in experts]
        decibels = " ".join("–" if one is None else f"{one:.2f}{mark}" for one, mark in zip(found, marked))
        rows.append((f"blocks.{block}", f"{len(four.get(block, ()))} of {len(experts)}", decibels))
    columns = Column("layer"), Column("4-bit experts"), Column("dB lost by each alone in 4 bits")
    results = ", ".join(
        f"{name} {before:.1f} to {measured.mixed[name]:.1f} dB" for name, before in measured.eight_bits.items()
    )
    return Table(
        columns,
        rows,
        (
            f"* has 4 bits. Together they cost {measured.lost:.2f} dB of the {measured.stated:g} dB that may be lost; results: {results}.",
            "Signal to noise against float, on calibration pictures and before training in integers.",
        ),
    )


def bytes_table(architecture: Architecture, tasks: Mapping[str, Task]) -> Table:
    """A row for each task: bytes that a frame moves over DRAM, see moesaic.spec.cost.dram_bytes, and with all weights in 8 bits."""
    eight, rows = replace(architecture, four_bit_experts={}), []
    for name, task in tasks.items():
        before, found = dram_bytes(eight, task), dram_bytes(architecture, task)
        rows.append((name, before, found, 1 - found / before))
    heads = Column("task"), Column("8 bits", count), Column("these bits", count), Column("saved", percent(1))
    return Table(heads, rows)
