"""Streams of frames through an executor, and the comparison of what they left in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.sim.measurements.road.samples import Sample
from moesaic.spec.build import Build
from moesaic.spec.executor import MAX_CYCLES, Counters, Executor

"""Bound of one frame: several times the largest supported one, so only a program that never ends meets it."""


Job = tuple[Sample, str]
"""One frame: a sample and the task to run on it."""


@dataclass(frozen=True)
class FrameRecord:
    """What one frame gave. frame: the whole frame window afterwards, uint8. seconds: of wall clock, of the simulation."""

    sample: str
    task: str
    counters: Counters
    seconds: float
    frame: np.ndarray


def alternating(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Job]:
    """Every task on every sample; with two tasks or more, each frame runs another task than the one before it."""
    return [(sample, task) for sample in samples for task in tasks]


def consecutive(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Job]:
    """The frames of `alternating`, all frames of one task before the next task."""
    return [(sample, task) for task in tasks for sample in samples]


def run_stream(
    executor: Executor, build: Build, jobs: Sequence[Job], progress: Callable[[FrameRecord], None] = lambda record: None
) -> list[FrameRecord]:
    """Run the frames in order on one executor, each in a frame window freshly filled with the build's pattern."""
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
    """Bytes that differ between the frame windows of two streams of the same frames, in whatever order."""
    expected = {(record.sample, record.task): record.frame for record in reference}
    return sum(int(np.count_nonzero(record.frame != expected[record.sample, record.task])) for record in records)


def switch_cost(alternated: Sequence[FrameRecord], unalternated: Sequence[FrameRecord]) -> dict[str, int]:
    """Cycles of the same frames with and without a change of task before each.

    extra_cycles: what the changes cost, summed over all frames; largest_frame_difference: of any one frame, absolute.
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
