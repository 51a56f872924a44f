"""A benchmark's most important figures, in the terminal."""

from __future__ import annotations

from rich.console import Console

from moesaic.pages.terminal import print_table
from moesaic.sim.measurements.benchmark.benchmark_tables import (
    ablation_table,
    dram_table,
    frame_name,
    frames_table,
    joint_table,
    scaling_table,
    speed_table,
)


def show(document: dict, console: Console) -> None:
    """Print the most important columns of the page's tables, within 80 characters. document: the content of bench.json."""
    if document["frames"]:
        frames = frames_table(document["frames"])
        columns = ("encoder", "cycles", "ratio", "asked", "MAC use", "GOPS / DSP", "bytes that differ")
        print_table(console, frames.select(*columns), "encoder, measured in RTL simulation")
        print_table(console, speed_table(document["frames"]), "without a board: one thread, no other load assumed")
    if document["ablation"]:
        ablation = ablation_table(document["ablation"], document["modules"])
        title = f"ablation of {frame_name(document['ablation'][0])}"
        print_table(console, ablation.select("technique", "cycles", "times", "ratio", "DRAM MB"), title)
    if document["scaling"]:
        scaling = scaling_table(document["scaling"])
        print_table(console, scaling.select("model", "machine", "cycles", "ratio", "DRAM MB"), "scaling")
    if document["joint"]:
        columns = ("encoder", "run", "per picture", "limit", "ratio")
        print_table(console, joint_table(document["joint"]).select(*columns), "shared weights, fewer bytes")
    if document["dram"]:
        columns = ("encoder", "DRAM", "cycles", "flat model", "difference", "ratio")
        print_table(console, dram_table(document["dram"], document["frames"]).select(*columns), "behind a DDR4")
