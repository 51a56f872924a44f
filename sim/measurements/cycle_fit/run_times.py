"""When a program's instructions ran, in the same terms for the simulated RTL and for the cycle model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.hls.compiler.cycle_model import ProgramEstimate
from moesaic.sim.machines.recorder import Kind
from moesaic.sim.measurements.timeline.timeline import Execution, Timeline
from moesaic.spec.isa import Unit


@dataclass(frozen=True)
class RunTimes:
    """Times in cycles: arrays of float64 (instructions,) in program order, and the cycles of the whole run.

    accepted: the unit's queue received the instruction. taken: the unit started it. done: it completed. first, last: for a product
    that runs alone, the start of the array's first step and the end of its last; for a load of thousands of cycles, the start of the
    transfer from DRAM and its end; NaN for other instructions.
    """

    accepted: np.ndarray
    taken: np.ndarray
    done: np.ndarray
    first: np.ndarray
    last: np.ndarray
    cycles: float


def modelled_times(estimate: ProgramEstimate) -> RunTimes:
    """The times according to the cycle model."""
    names = ("accepted", "taken", "done", "first", "last")
    arrays = (np.array([getattr(each, name) for each in estimate.executions], np.float64) for name in names)
    return RunTimes(*arrays, cycles=float(estimate.cycles))


def measured_times(events: np.ndarray, code: bytes, tags: Sequence[str]) -> RunTimes:
    """The times of a run of the RTL.

    events: of the run, [events] of dtype moesaic.sim.machines.recorder.EVENT. code, tags: see Timeline.
    """
    timeline = Timeline(events, code, tags)
    runs = timeline.executions
    accepted, taken, done = (
        np.array([getattr(run, name) for run in runs], np.float64) for name in ("accepted", "started", "done")
    )
    first, last = np.array([_work(events, run) for run in runs]).T
    return RunTimes(accepted, taken, done, first, last, float(timeline.cycles))


def _work(events: np.ndarray, run: Execution) -> tuple[float, float]:
    """`first` and `last` of RunTimes for one instruction."""
    within = events[(events["cycle"] >= run.started) & (events["cycle"] <= run.done)]
    if run.unit == Unit.MATMUL:
        changes = within["cycle"][within["kind"] == Kind.ARRAY]
        return (float(changes[0]), float(changes[-1])) if changes.size else (np.nan, np.nan)
    samples = within[within["kind"] == Kind.SAMPLE]
    if run.unit != Unit.LOAD or len(samples) < 2:
        return np.nan, np.nan
    # Bytes arrive at an even rate between samples, but no sample marks the arrival of the last ones, so extrapolate.
    (before, at), end = samples[-2:], within[-1]
    rate = (int(at["bytes_read"]) - int(before["bytes_read"])) / (int(at["cycle"]) - int(before["cycle"]))
    last = int(at["cycle"]) + (int(end["bytes_read"]) - int(at["bytes_read"])) / rate
    return last - run.fields["bytes"] / rate, last
