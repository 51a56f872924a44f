"""Run streams of frames through an executor, and compare what they leave in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.sim.measurements.road.inputs import Sample
from moesaic.spec.build import Build
from moesaic.spec.executor import MAX_CYCLES, Counters, Executor

Job = tuple[Sample, str]
"""One frame: a sample and the task to run on it."""


@dataclass(frozen=True)
class FrameRecord:
    """The result of one frame. frame: the whole frame window afterwards, uint8 [bytes]. seconds: wall clock of the executor's run."""

    sample: str
    task: str
    counters: Counters
    seconds: float
    frame: np.ndarray


def alternating(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Job]:
    """Every task on every sample, sample by sample; with two or more tasks, no two successive frames run the same task."""
    return [(sample, task) for sample in samples for task in tasks]


def consecutive(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Job]:
    """The frames of `alternating`, but task by task."""
    return [(sample, task) for task in tasks for sample in samples]


def run_stream(
    executor: Executor, build: Build, jobs: Sequence[Job], progress: Callable[[FrameRecord], None] = lambda record: None
) -> list[FrameRecord]:
    """Run the frames in order on one executor, each in a frame window freshly filled with the build's pattern.

    progress: called after each frame. Raises MachineFault if the machine stops a run.
    """
    records = []
    for sample, task in jobs:
        memory = build.new_memory()
        build.write_image(memory.frame, sample.image)
        started = time.perf_counter()
        counters = executor.run(build.task(task).program, memory, MAX_CYCLES)
        records.append(FrameRecord(sample.name, task, dict(counters), time.perf_counter() - started, memory.frame))
        progress(records[-1])
    return records


def mismatched_bytes(records: Sequence[FrameRecord], reference: Sequence[FrameRecord]) -> int:
    """Number of bytes that differ between the frame windows of two streams with the same frames, in any order."""
    expected = {(record.sample, record.task): record.frame for record in reference}
    return sum(int(np.count_nonzero(record.frame != expected[record.sample, record.task])) for record in records)


def switch_cost(alternated: Sequence[FrameRecord], unalternated: Sequence[FrameRecord]) -> dict[str, int]:
    """Compare the cycles of the same frames, run with the tasks alternating and run task by task.

    task_changes: changes of task while alternating. extra_cycles: cost of the changes, summed over all frames.
    largest_frame_difference: largest absolute difference of a single frame, in cycles.
    """
    plain = {(record.sample, record.task): record.counters["cycles"] for record in unalternated}
    differences = [record.counters["cycles"] - plain[record.sample, record.task] for record in alternated]
    return {
        "frames": len(differences),
        "task_changes": sum(a.task != b.task for a, b in itertools.pairwise(alternated)),
        "alternating_cycles": sum(record.counters["cycles"] for record in alternated),
        "consecutive_cycles": sum(plain.values()),
        "extra_cycles": sum(differences),
        "largest_frame_difference": max(map(abs, differences)),
    }
