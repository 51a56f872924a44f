"""A timeline as Chrome trace events (JSON), for https://ui.perfetto.dev and chrome://tracing.

The format is the "Trace Event Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
Its unit of time is the microsecond; here one microsecond stands for one clock cycle.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from moesaic.files import write_file
from moesaic.sim.machines.recorder import SAMPLE_CYCLES, State
from moesaic.sim.measurements.timeline.timeline import STALLS, Execution, Interval, Timeline
from moesaic.spec.isa import FAULT_UNIT_NAMES, FETCH, HEADER, Destination, LoadDestination, Unit

PROCESS = 1
LANES = 2
"""How many instructions of one unit may be in execution at the same time."""

_STALL_LANE = LANES
_TRACKS_PER_UNIT = LANES + 1
# Perfetto colours slices by name, chrome://tracing by these colour names.
_STALL_LOOK = {
    State.SEMAPHORES: ("waiting for semaphores", "yellow"),
    State.DRAM: ("waiting for DRAM", "terrible"),
    State.OPERANDS: ("waiting for operands", "bad"),
    State.DRAIN: ("waiting for the drain", "olive"),
    State.QUEUE_FULL: ("waiting for a full queue", "grey"),
}
_JOINED_CYCLES = 16
_HEADER_FIELDS = {field.name for field in HEADER}
_NAMED_FIELDS = {("matmul", "destination"): Destination, ("load", "destination"): LoadDestination}

TraceEvent = dict[str, Any]


def trace_events(timeline: Timeline, title: str) -> dict[str, Any]:
    """Return the trace as an object to be written as JSON. title: name of the process that the tracks belong to.

    Each unit has two tracks of instructions, the second for those that start while another executes, and a track of stalls.
    Stalls with the same cause that are at most 16 cycles apart form one slice; its argument `stalled` counts the stalled cycles.
    """
    events = [
        *_metadata(title),
        *_instruction_slices(timeline),
        *_fetch_slices(timeline),
        *_stall_slices(timeline),
        *_counters(timeline),
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"one microsecond": "one clock cycle"}}


def write_trace(path: Path, timeline: Timeline, title: str) -> None:
    """Write the trace whole or not at all, gzip-compressed if the name ends in `.gz`. Raises UserError if it cannot be written."""
    content = json.dumps(trace_events(timeline, title), separators=(",", ":")).encode()
    write_file(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _track(unit: int, lane: int) -> int:
    return 1 + unit * _TRACKS_PER_UNIT + lane


def _metadata(title: str) -> Iterator[TraceEvent]:
    def metadata(name: str, **event: Any) -> TraceEvent:
        return {"ph": "M", "name": name, "pid": PROCESS, **event}

    yield metadata("process_name", args={"name": f"{title} (1 us is 1 cycle)"})
    names = ("", " (overlapping)", " stalls")
    for unit, unit_name in enumerate(FAULT_UNIT_NAMES):
        for lane in range(_TRACKS_PER_UNIT):
            track = _track(unit, lane)
            if unit == FETCH and lane == 1:
                continue
            yield metadata("thread_name", tid=track, args={"name": unit_name + names[lane]})
            yield metadata("thread_sort_index", tid=track, args={"sort_index": track})


def _slice(name: str, category: str, track: int, begin: int, end: int, **more: Any) -> TraceEvent:
    event = {"ph": "X", "name": name, "cat": category, "pid": PROCESS, "tid": track, "ts": begin, "dur": end - begin}
    return {**event, **more}


def _instruction_slices(timeline: Timeline) -> Iterator[TraceEvent]:
    free_from = {(int(unit), lane): 0 for unit in Unit for lane in range(LANES)}
    for execution in timeline.executions:
        if execution.started is None:
            continue
        end = timeline.cycles if execution.done is None else execution.done
        # Track 0, unless its previous instruction is still in execution; the hardware executes at most two at a time.
        lane = int(free_from[execution.unit, 0] > execution.started)
        free_from[execution.unit, lane] = end
        yield _slice(
            f"{execution.name} {execution.instruction}",
            FAULT_UNIT_NAMES[execution.unit],
            _track(execution.unit, lane),
            execution.started,
            end,
            args=_arguments(execution),
        )


def _arguments(execution: Execution) -> dict[str, Any]:
    arguments = {
        "instruction": execution.index,
        "accepted": execution.accepted,
        "cycle_start": execution.started,
        "cycle_end": execution.done,
    }
    for name, value in execution.fields.items():
        if name not in _HEADER_FIELDS:
            names = _NAMED_FIELDS.get((execution.instruction, name))
            arguments[name] = value if names is None else names(value).name.lower()
    return arguments


def _fetch_slices(timeline: Timeline) -> Iterator[TraceEvent]:
    full = {i.end: i.begin for i in timeline.intervals if i.unit == FETCH and i.state == State.QUEUE_FULL}
    for execution in timeline.executions:
        if execution.accepted is not None:
            begin = full.get(execution.accepted, execution.accepted)
            name = f"{execution.name} {execution.instruction}"
            arguments = {"instruction": execution.index, "unit": FAULT_UNIT_NAMES[execution.unit]}
            yield _slice(name, "fetch", _track(FETCH, 0), begin, execution.accepted + 1, args=arguments)


def _joined(intervals: list[Interval]) -> Iterator[tuple[Interval, int]]:
    """Intervals of stalls, each with its stalled cycles; neighbouring intervals with the same unit and state are joined."""
    current: Interval | None = None
    stalled = 0
    for interval in intervals:
        length = interval.end - interval.begin
        if (
            current is not None
            and (current.unit, current.state) == (interval.unit, interval.state)
            and interval.begin - current.end <= _JOINED_CYCLES
        ):
            current, stalled = Interval(current.unit, current.state, current.begin, interval.end), stalled + length
        else:
            if current is not None:
                yield current, stalled
            current, stalled = interval, length
    if current is not None:
        yield current, stalled


def _stall_slices(timeline: Timeline) -> Iterator[TraceEvent]:
    for interval, stalled in _joined([i for i in timeline.intervals if i.state in STALLS]):
        name, colour = _STALL_LOOK[interval.state]
        track = _track(interval.unit, _STALL_LANE)
        arguments = {"stalled": stalled, "cycle_start": interval.begin, "cycle_end": interval.end}
        yield _slice(name, "stall", track, interval.begin, interval.end, cname=colour, args=arguments)


def _counters(timeline: Timeline) -> Iterator[TraceEvent]:
    cycles, totals = timeline.samples()
    keep = np.append(np.diff(cycles) > 0, True)
    cycles = cycles[keep]
    elapsed = np.diff(cycles)
    grown = {name: np.diff(values[keep]) for name, values in totals.items()}
    scaled = SAMPLE_CYCLES / elapsed
    series = {
        f"DRAM bytes per {SAMPLE_CYCLES:,} cycles": {
            "read": grown["bytes_read"] * scaled,
            "written": grown["bytes_written"] * scaled,
        },
        "array utilisation (%)": {"busy": 100 * grown["array_cycles"] / elapsed},
    }
    for name, values in series.items():
        for index, cycle in enumerate(cycles[:-1].tolist()):
            arguments = {key: round(float(value[index]), 1) for key, value in values.items()}
            yield {"ph": "C", "name": name, "pid": PROCESS, "ts": cycle, "args": arguments}
        yield {"ph": "C", "name": name, "pid": PROCESS, "ts": int(cycles[-1]), "args": dict.fromkeys(values, 0)}
