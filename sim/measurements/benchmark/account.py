"""Account for the cycles of the matmul array: every cycle of a run has exactly one cause, so the account adds up to the run.

A cycle in which the array multiplies is useful or pads a tile. In an idle cycle the array's next step belongs to a known
instruction, because instructions execute in order and each takes a known number of steps. The cause is whatever that instruction
lacks: fetch has not delivered it (if a full queue holds fetch up, the unit with that queue is the cause); a semaphore has not been
signalled (the unit that signals last is the cause); the unit still holds earlier instructions; operands have not been fetched; the
results of the previous tile are still draining; or the instruction has only just started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.sim.machines.recorder import Kind, State
from moesaic.sim.measurements.timeline.timeline import Execution, Timeline
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import FETCH, SEMAPHORES, Unit, semaphore

CAUSES = {
    "useful": "the network's multiplications",
    "rows": "padding of row tiles",
    "columns": "padding of column tiles",
    "depth": "padding of depth: heads, tokens, the fourth byte of a pixel",
    "head": "the task's head, ahead of the encoder's end",
    "dram": "waiting for weights or the image from DRAM",
    "load": "waiting for a load that waits itself: for room, or for a queue of tokens",
    "vector": "waiting for softmax or layer norm",
    "route": "waiting for the router's queues",
    "store": "waiting for a store",
    "fetch": "waiting for instructions",
    "previous": "waiting for the instruction before, whose results are needed or which fills the unit",
    "operands": "waiting for operands from the activation memory",
    "drain": "waiting for the tile before to drain",
    "start": "starting an instruction",
    "output": "the last results' way to DRAM",
}
"""Causes, each with its meaning in words."""

_NEVER = np.iinfo(np.int64).max // 2
_PADDING = ("useful", "rows", "columns", "depth")


@dataclass(frozen=True)
class Product:
    """A matmul instruction as executed, M x N x K = rows x columns x depth. With gather or scatter, only the run determines rows."""

    rows: int
    columns: int
    depth: int

    def steps(self, configuration: HardwareConfiguration) -> int:
        """Cycles in which the array multiplies for this product."""
        c = configuration
        return -(-self.rows // c.tile_rows) * -(-self.columns // c.tile_columns) * (self.depth // c.tile_depth)


def array_account(
    timeline: Timeline,
    events: np.ndarray,
    products: Sequence[Product],
    configuration: HardwareConfiguration,
    macs: int,
    end: int,
    in_head: Sequence[bool] | None = None,
) -> dict[str, int]:
    """Return the cycles of [0, end) by cause (CAUSES); they add up to `end`.

    Args:
        timeline: of the run.
        events: those that the timeline was made from, [events] of dtype moesaic.sim.machines.recorder.EVENT.
        products: every matmul of the program, in program order.
        configuration: sizes of the accelerator.
        macs: multiply-accumulates of the network up to `end`, without padding.
        end: first cycle that is not accounted for.
        in_head: for each product, whether it belongs to the task's head and is therefore not part of `macs`; None if no
            product does.

    Raises:
        ValueError: the products are not those of the run.
    """
    matmuls = [execution for execution in timeline.executions if execution.unit == Unit.MATMUL]
    if len(products) != len(matmuls):
        raise ValueError(f"{len(products)} products but the program has {len(matmuls)} matmul instructions")
    steps = np.array([product.steps(configuration) for product in products], np.int64)
    outside = np.zeros(len(products), bool) if in_head is None else np.array(in_head, bool)
    times, total = _array_totals(events, end)
    account = dict.fromkeys(CAUSES, 0)
    account.update(_padding(products, outside, configuration, macs))
    account["head"] = int(total[-1]) - int(steps[~outside].sum())
    if account["head"] < 0 or (not outside.any() and account["head"]):
        raise ValueError(f"the array multiplied in {total[-1]} cycles, the products take {int(steps.sum())}")
    idle = np.diff(times) - np.diff(total)
    for cause, chosen in _causes(timeline, matmuls, np.cumsum(steps), events, times, total).items():
        account[cause] += int(idle[chosen].sum())
    return account


def _padding(
    products: Sequence[Product], outside: np.ndarray, configuration: HardwareConfiguration, macs: int
) -> dict[str, int]:
    """Cycles of the array's steps by what they multiplied, rounded so that they add up."""
    c = configuration
    amounts = dict.fromkeys(_PADDING, 0)
    inside = [product for product, out in zip(products, outside) if not out]
    for p in inside:
        rows, columns = -(-p.rows // c.tile_rows) * c.tile_rows, -(-p.columns // c.tile_columns) * c.tile_columns
        amounts["rows"] += (rows - p.rows) * columns * p.depth
        amounts["columns"] += p.rows * (columns - p.columns) * p.depth
        amounts["depth"] += p.rows * p.columns * p.depth
    amounts["useful"] = macs
    amounts["depth"] -= macs
    edges = np.cumsum([amounts[name] for name in _PADDING]) / c.macs_per_cycle
    edges = np.concatenate([[0], np.rint(edges)]).astype(np.int64)
    return dict(zip(_PADDING, np.diff(edges).tolist()))


def _array_totals(events: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct cycles of all events up to `end`, plus 0 and `end`, and the array's busy cycles before each; int64 [times] both."""
    times, first = np.unique(events["cycle"].astype(np.int64), return_index=True)
    total = events["array_cycles"][first].astype(np.int64)
    if end not in times:
        total = np.append(total, np.rint(np.interp(end, times, total)).astype(np.int64))
        times = np.append(times, end)
        order = np.argsort(times)
        times, total = times[order], total[order]
    if times[0] > 0:
        times, total = np.insert(times, 0, 0), np.insert(total, 0, 0)
    inside = times <= end
    return times[inside], total[inside]


def _held_by_fetch(timeline: Timeline, times: np.ndarray) -> np.ndarray:
    """For each of these cycles, the unit of the instruction that fetch hands out next."""
    accepted = np.array([_known(execution.accepted) for execution in timeline.executions], np.int64)
    units = np.array([*(execution.unit for execution in timeline.executions), -1])
    return units[np.searchsorted(accepted, times, side="right")]


def _states(events: np.ndarray, unit: int, times: np.ndarray) -> np.ndarray:
    """The state that a unit is in from each of these cycles on."""
    changes = events[(events["kind"] == Kind.STATE) & (events["unit"] == unit)]
    states = np.concatenate([[State.EMPTY], changes["state"]])
    return states[np.searchsorted(changes["cycle"].astype(np.int64), times, side="right")]


def _causes(
    timeline: Timeline,
    matmuls: Sequence[Execution],
    steps_until: np.ndarray,
    events: np.ndarray,
    times: np.ndarray,
    total: np.ndarray,
) -> dict[str, np.ndarray]:
    """For each cause, a mask of the stretches between `times` whose idle cycles it explains; each stretch has exactly one cause."""
    accepted, free, ready, producer = _waits(timeline, matmuls)
    # The product of the first step after the stretch. If it began within the stretch, the cycles before that were its wait.
    front = np.searchsorted(steps_until, total[1:], side="right")
    began, matmul, load = times[:-1], _states(events, Unit.MATMUL, times[:-1]), _states(events, Unit.LOAD, times[:-1])
    causes: dict[str, np.ndarray] = {}
    left = np.ones(len(began), bool)

    def explain(cause: str, condition: np.ndarray) -> None:
        nonlocal left
        causes[cause] = causes.get(cause, np.zeros(len(began), bool)) | (left & condition)
        left = left & ~condition

    explain("output", front == len(matmuls))
    front = np.minimum(front, len(matmuls) - 1)
    waiting = (began < ready[front]) & (ready[front] > accepted[front])
    behind = (began < accepted[front]) & ~waiting
    held_up = behind & (_states(events, FETCH, began) == State.QUEUE_FULL)
    explain("fetch", behind & ~held_up)
    waiting |= held_up
    producer = np.where(held_up, _held_by_fetch(timeline, began), producer[front])
    by_load = waiting & (producer == Unit.LOAD)
    explain("dram", by_load & np.isin(load, (State.WORKING, State.DRAM)))
    explain("load", by_load)
    for unit in (Unit.VECTOR, Unit.ROUTE, Unit.STORE):
        explain(unit.name.lower(), waiting & (producer == unit))
    explain("previous", waiting | (began < free[front]))
    explain("operands", matmul == State.OPERANDS)
    explain("drain", matmul == State.DRAIN)
    explain("start", np.ones(len(began), bool))
    return causes


def _waits(timeline: Timeline, matmuls: Sequence[Execution]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each matmul, the cycles when it was accepted, the unit had room and its semaphores were set, and the unit that signalled last."""
    signals: dict[int, list[int]] = {}
    for number in range(SEMAPHORES):
        source = number // len(Unit)
        signals[number] = [
            _known(execution.done)
            for execution in timeline.executions
            if execution.unit == source and execution.fields["signal_mask"] >> number & 1
        ]
    taken = dict.fromkeys(signals, 0)
    done = [0, 0]
    accepted, free, ready, producers = [], [], [], []
    for execution in matmuls:
        last, producer = 0, -1
        for source in Unit:
            number = semaphore(source, Unit.MATMUL)
            if execution.fields["wait_mask"] >> number & 1:
                signal = signals[number][taken[number]]
                taken[number] += 1
                if signal >= last:
                    last, producer = signal, source
        accepted.append(_known(execution.accepted))
        free.append(done[-2] if execution.fields["overlap"] else done[-1])
        ready.append(last)
        producers.append(producer)
        done.append(_known(execution.done))
    return (
        np.array(accepted, np.int64),
        np.array(free, np.int64),
        np.array(ready, np.int64),
        np.array(producers, np.int64),
    )


def _known(cycle: int | None) -> int:
    return _NEVER if cycle is None else cycle
