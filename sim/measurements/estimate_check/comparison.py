"""The estimates of samples beside their frames on the simulated RTL; each measured frame is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from moesaic.campaign import case as campaign
from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.workers import OpenWorkers
from moesaic.hls.compiler.cycle_estimate import FrameEstimate, estimate_frame
from moesaic.pages.number_formats import count, signed
from moesaic.pages.tables import Column, Table
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.benchmark.bundles import Bundles
from moesaic.sim.measurements.benchmark.cases import Case, Frame
from moesaic.sim.measurements.benchmark.measurement import FINAL_NORM, Prepared, prepare
from moesaic.sim.measurements.estimate_check.sampling import TASK, Sample
from moesaic.sim.measurements.timeline.timeline import build_timeline
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.executor import MAX_CYCLES, Memory
from moesaic.spec.machine import Fields, ReferenceMachine

TOLERANCE = 0.05
"""Largest relative error that is asked of an estimate."""


@dataclass(frozen=True)
class Comparison:
    """A sample's frame.

    cycles, encoder: measured on the RTL, of the whole frame and up to its final layer norm. wrong: bytes of the frame memory that
    differ from the reference machine's. estimate: from sizes alone. routed: the same with each expert's tokens as they were.
    """

    sample: Sample
    cycles: int
    encoder: int
    wrong: int
    estimate: FrameEstimate
    routed: FrameEstimate

    @property
    def error(self) -> float:
        """Relative error of the estimated cycles of the whole frame, signed."""
        return self.estimate.cycles / self.cycles - 1


def compare(
    samples: Sequence[Sample],
    bundles: Bundles,
    simulators: Path,
    measurements: Path,
    workers: OpenWorkers,
    console: Console,
) -> list[Comparison]:
    """Compare samples, running the frames of those that were not measured before.

    simulators, measurements: directories in which compiled simulators and measured frames are kept.

    Raises UserError if a tool is missing, MachineFault if a machine stops a run, InternalError if the simulator dies.
    """
    prepared: dict[str, Prepared] = {}

    def cases() -> Iterator[campaign.Case]:
        for sample in samples:
            model = sample.recipe.model
            frame = Frame(sample.name, model.image_height, model.image_width, (TASK,))
            case = Case("estimates", "", frame, sample.configuration)
            ready = prepared[sample.name] = prepare(case, bundles.of_recipe(sample.name, sample.recipe))
            arguments = ready.build, ready.bundle, simulators
            yield campaign.Case(f"{ready.key}-estimate", sample.name, measure_frame, arguments)

    known = {sample.name: sample for sample in samples}
    found: dict[str, Comparison] = {}
    outcomes = run_campaign(cases(), workers, kept=measurements, console=console, title="frames", total=len(samples))
    for outcome in outcomes:
        measured = dict(outcome.checked())
        sample, bundle = known[outcome.case.title], prepared.pop(outcome.case.title).bundle
        counts = measured.pop("counts")
        guesses = (
            estimate_frame(bundle.architecture, bundle.tasks, TASK, sample.configuration, counts=each)
            for each in (None, counts)
        )
        found[sample.name] = one = Comparison(sample, **measured, **dict(zip(("estimate", "routed"), guesses)))
        line = f"{sample.name}: {one.cycles:,} cycles, estimate {100 * one.error:+.1f} %"
        console.print(line, highlight=False)
    return [found[sample.name] for sample in samples]


def measure_frame(build: Build, bundle: Bundle, simulators: Path) -> dict:
    """The figures of `Comparison` that the RTL gives, and "counts": the tokens of each expert, by router."""
    program, counts = build.task(TASK).program, []

    def watch(name: str, fields: Fields, machine: ReferenceMachine) -> None:
        if name == "route":
            counts[len(counts) - bool(fields["append"]) :] = [machine.queue_count.tolist()]

    def memory() -> Memory:
        fresh = build.new_memory()
        build.write_image(fresh.frame, bundle.golden["image"])
        return fresh

    expected, found = memory(), memory()
    ReferenceMachine(build.configuration, observe=watch).run(program, expected, MAX_CYCLES)
    with tempfile.TemporaryDirectory(prefix="moesaic-estimate-") as scratch:
        rtl = Path(scratch) / "rtl"
        rtl.mkdir()
        for name, content in build.files.items():
            if name.startswith("rtl/"):
                (Path(scratch) / name).write_bytes(content)
        with RtlExecutor(rtl, build.configuration, timeline=True, build_directory=simulators) as executor:
            cycles = executor.run(program, found, MAX_CYCLES)["cycles"]
            timeline = build_timeline(executor.events, build, build.task(TASK).program)
    return {
        "cycles": cycles,
        "encoder": timeline.last_done(lambda execution: execution.name == FINAL_NORM) + 1,
        "wrong": int(np.count_nonzero(found.frame != expected.frame)),
        "counts": counts,
    }


def comparison_table(found: Sequence[Comparison]) -> Table:
    """Each sample's configuration, cycles and errors, and whether the error is below TOLERANCE."""
    columns = (
        Column("sample"), Column("array"), Column("ports"), Column("banks"), Column("load ports"), Column("network"),
        Column("cycles", count),
        Column("estimate", count), Column("error", signed(1, " %")), Column("as routed", signed(1, " %")), Column("verdict"),
    )  # fmt: skip
    rows = []
    for each in found:
        c = each.sample.configuration
        rows.append((
            each.sample.name, c.array, c.act_ports, c.act_banks, c.load_ports, each.sample.network, each.cycles,
            each.estimate.cycles, 100 * each.error, 100 * (each.routed.cycles / each.cycles - 1),
            "met" if abs(each.error) <= TOLERANCE else "missed",
        ))  # fmt: skip
    worst = max(found, key=lambda each: abs(each.error))
    notes = (
        f"asked: within {100 * TOLERANCE:.0f} %; the worst is {worst.sample.name} with {100 * worst.error:+.1f} %",
        "as routed: the error of the estimate that is told how many tokens each expert got",
    )
    return Table(columns, rows, notes)
