"""When the instructions of a program ran, in the same terms from the simulated RTL and from the cycle model."""

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
    """Cycles, each array float64 (instructions,) in program order, and the cycles of the whole run.

    accepted: handed to the unit's queue. taken: by the unit. done: completed. first, last: the first step of the array and the end of its
    last, for a product that runs alone; the first byte from DRAM and the end of the last, for a load that takes thousands of cycles; NaN
    for other instructions.
    """

    accepted: np.ndarray
    taken: np.ndarray
    done: np.ndarray
    first: np.ndarray
    last: np.ndarray
    cycles: float


def modelled_times(estimate: ProgramEstimate) -> RunTimes:
    """Those of the cycle model."""
    names = ("accepted", "taken", "done", "first", "last")
    arrays = (np.array([getattr(each, name) for each in estimate.executions], np.float64) for name in names)
    return RunTimes(*arrays, cycles=float(estimate.cycles))


def measured_times(events: np.ndarray, code: bytes, tags: Sequence[str]) -> RunTimes:
    """Those of a run of the RTL. events: [events] of dtype moesaic.sim.machines.recorder.EVENT, code: the program, tags: see Timeline."""
    timeline = Timeline(events, code, tags)
    runs = timeline.executions
    accepted, taken, done = (
        np.array([getattr(run, name) for run in runs], np.float64) for name in ("accepted", "started", "done")
    )
    first, last = np.array([_work(events, run) for run in runs]).T
    return RunTimes(accepted, taken, done, first, last, float(timeline.cycles))


def _work(events: np.ndarray, run: Execution) -> tuple[float, float]:
    """See `first` and `last` of RunTimes."""
    within = events[(events["cycle"] >= run.started) & (events["cycle"] <= run.done)]
    if run.unit == Unit.MATMUL:
        changes = within["cycle"][within["kind"] == Kind.ARRAY]
        return (float(changes[0]), float(changes[-1])) if changes.size else (np.nan, np.nan)
    samples = within[within["kind"] == Kind.SAMPLE]
    if run.unit != Unit.LOAD or len(samples) < 2:
        return np.nan, np.nan
    # Bytes come at an even rate between samples, but for the last ones there is no sample at their end.
    (before, at), end = samples[-2:], within[-1]
    rate = (int(at["bytes_read"]) - int(before["bytes_read"])) / (int(at["cycle"]) - int(before["cycle"]))
    last = int(at["cycle"]) + (int(end["bytes_read"]) - int(at["bytes_read"])) / rate
    return last - run.fields["bytes"] / rate, last
