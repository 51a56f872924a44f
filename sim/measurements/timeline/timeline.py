"""What happened when in a run of the RTL: each unit's instructions, the stalls, and where matmul's cycles went.

A timeline is made from the program and the recorder's events (the attribute `events` of `RtlExecutor(..., timeline=True)`).
Cycles are those of the cycle counter: cycle 0 is the first of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moesaic.sim.machines.recorder import Kind, State
from moesaic.spec.build import Build
from moesaic.spec.executor import Program
from moesaic.spec.isa import BY_NAME, FETCH, INSTRUCTION_BYTES, Unit, decode

TOTALS = ("array_cycles", "bytes_read", "bytes_written")
STALLS = (State.SEMAPHORES, State.DRAM, State.OPERANDS, State.DRAIN, State.QUEUE_FULL)


@dataclass(frozen=True)
class Execution:
    """An instruction of a run.

    index: position in the program. unit: a moesaic.spec.isa.Unit. instruction, fields: see moesaic.spec.isa. tag, name: number and
    name of the layer that it belongs to. accepted: cycle in which fetch handed it to its unit's queue. started: cycle in which the
    unit took it, its semaphores being set. done: cycle in which it completed. These are None if a fault came first.
    """

    index: int
    unit: int
    instruction: str
    fields: dict[str, int]
    tag: int
    name: str
    accepted: int | None
    started: int | None
    done: int | None


@dataclass(frozen=True)
class Interval:
    """Cycles [begin, end) that a unit (a moesaic.spec.isa.Unit, or FETCH) spent in one state."""

    unit: int
    state: State
    begin: int
    end: int


class Timeline:
    """The timeline of one run; see the module.

    Args:
        events: of the run, [events] of dtype moesaic.sim.machines.recorder.EVENT.
        code: the encoded program, a multiple of 64 bytes.
        tags: name of each instruction tag.

    Attributes:
        cycles: length of the run.
        executions: all instructions except `end`, in program order.
        intervals: all states other than EMPTY, ordered by unit and begin.

    Raises:
        ValueError: the events are not those of a whole run of this program.
    """

    def __init__(self, events: np.ndarray, code: bytes, tags: Sequence[str]) -> None:
        if not events.size or events["kind"][-1] != Kind.END:
            raise ValueError("the events are not those of a whole run: the last one is not its end")
        self.cycles = int(events["cycle"][-1])
        self._events = events
        self.executions = _executions(events, code, tags)

    @cached_property
    def intervals(self) -> list[Interval]:
        return [interval for unit in range(FETCH + 1) for interval in self._states(unit)]

    def total(self, name: str, cycle: int) -> int:
        """Return a running total (one of TOTALS) at the start of a cycle: exact at an event, interpolated between events."""
        return round(float(np.interp(cycle, self._events["cycle"], self._events[name])))

    def last_done(self, wanted: Callable[[Execution], bool]) -> int:
        """Return the cycle in which the last of the `wanted` instructions completed.

        Raises ValueError if no instruction is wanted or one of them did not complete.
        """
        chosen = [execution for execution in self.executions if wanted(execution)]
        done = [execution.done for execution in chosen if execution.done is not None]
        if not done or len(done) < len(chosen):
            raise ValueError("no such instruction, or one that did not complete")
        return max(done)

    def matmul_account(self, begin: int = 0, end: int | None = None) -> dict[str, int]:
        """Return where matmul's cycles in [begin, end) went; the values add up to end - begin.

        array: the array multiplied. semaphores, operands, drain: the unit waited, as in the counters of the same names.
        no_instruction: the unit's queue was empty. fill: the rest, at the start and end of instructions and tiles.
        end: None for the end of the run.
        """
        end = self.cycles if end is None else end
        spent = dict.fromkeys(State, 0)
        for interval in self.intervals:
            if interval.unit == Unit.MATMUL:
                spent[interval.state] += max(0, min(end, interval.end) - max(begin, interval.begin))
        waited = {state.name.lower(): spent[state] for state in (State.SEMAPHORES, State.OPERANDS, State.DRAIN)}
        array = self.total("array_cycles", end) - self.total("array_cycles", begin)
        empty = end - begin - sum(spent.values())
        return {"array": array, **waited, "no_instruction": empty, "fill": spent[State.WORKING] - array}

    def samples(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return sampled cycles, int64 [samples], and the running totals at them by name (TOTALS), int64 [samples] each.

        There is one sample every SAMPLE_CYCLES cycles and one at the end of the run.
        """
        chosen = self._events[np.isin(self._events["kind"], (Kind.SAMPLE, Kind.END))]
        return chosen["cycle"].astype(np.int64), {name: chosen[name].astype(np.int64) for name in TOTALS}

    def _states(self, unit: int) -> list[Interval]:
        changes = self._events[(self._events["kind"] == Kind.STATE) & (self._events["unit"] == unit)]
        ends = [*changes["cycle"][1:].tolist(), self.cycles]
        return [
            Interval(unit, State(state), begin, end)
            for state, begin, end in zip(changes["state"].tolist(), changes["cycle"].tolist(), ends)
            if state != State.EMPTY and end > begin
        ]


def build_timeline(events: np.ndarray, build: Build, program: Program) -> Timeline:
    """Return the timeline of one run of a build's program.

    events: of the run, [events] of dtype moesaic.sim.machines.recorder.EVENT.

    Raises ValueError if the events are not those of a whole run of the program.
    """
    code = build.constants[program.offset : program.offset + program.size].tobytes()
    return Timeline(events, code, build.tags)


def _executions(events: np.ndarray, code: bytes, tags: Sequence[str]) -> list[Execution]:
    # Each unit receives, starts and completes its instructions in program order, so counting them is enough.
    cycles = {
        (unit, kind): events["cycle"][(events["unit"] == unit) & (events["kind"] == kind)].tolist()
        for unit in Unit
        for kind in (Kind.ACCEPT, Kind.TAKE, Kind.DONE)
    }
    counts = dict.fromkeys(Unit, 0)
    executions = []
    for index in range(len(code) // INSTRUCTION_BYTES):
        decoded = decode(code[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES])
        if decoded is None or decoded[0] == "end":
            break
        name, fields = decoded
        unit = BY_NAME[name].unit
        number, counts[unit] = counts[unit], counts[unit] + 1
        accepted, started, done = (
            times[number] if number < len(times) else None
            for times in (cycles[unit, kind] for kind in (Kind.ACCEPT, Kind.TAKE, Kind.DONE))
        )
        tag = fields["tag"]
        layer = tags[tag] if tag < len(tags) else f"tag {tag}"
        executions.append(Execution(index, int(unit), name, fields, tag, layer, accepted, started, done))
    for (unit, kind), times in cycles.items():
        if len(times) > counts[unit]:
            raise ValueError(
                f"{len(times)} {kind.name} events of {unit.name} but the program has {counts[unit]} instructions"
            )
    return executions
