"""What each unit did in part of a run: cycles with an instruction in execution, and waiting cycles by cause."""

from __future__ import annotations

import numpy as np

from moesaic.sim.machines.recorder import Kind, State
from moesaic.sim.measurements.timeline.timeline import STALLS
from moesaic.spec.isa import FAULT_UNIT_NAMES, FETCH

_EXECUTING = (State.WORKING, State.DRAM, State.OPERANDS, State.DRAIN)
_CAUSES = {
    "load": (State.SEMAPHORES, State.DRAM),
    "store": (State.SEMAPHORES, State.DRAM),
    "matmul": (State.SEMAPHORES, State.OPERANDS, State.DRAIN),
    "vector": (State.SEMAPHORES,),
    "route": (State.SEMAPHORES,),
    "fetch": (State.DRAM, State.QUEUE_FULL),
}


def unit_activity(events: np.ndarray, end: int) -> dict[str, dict]:
    """Return {unit: {"busy": cycles, "stall": {cause: cycles}}} for cycles [0, end).

    busy: cycles with an instruction in execution, stalled or not; for fetch, cycles in which it hands an instruction out.
    events: of one run, [events] of dtype moesaic.sim.machines.recorder.EVENT.
    """
    result = {}
    for unit in range(FETCH + 1):
        name = FAULT_UNIT_NAMES[unit]
        changes = events[(events["kind"] == Kind.STATE) & (events["unit"] == unit)]
        begins = np.minimum(changes["cycle"].astype(np.int64), end)
        lengths = np.diff(np.append(begins, end))
        spent = np.bincount(changes["state"], weights=lengths, minlength=len(State)).astype(np.int64)
        busy = (State.WORKING,) if unit == FETCH else _EXECUTING
        result[name] = {
            "busy": int(spent[list(busy)].sum()),
            "stall": {state.name.lower(): int(spent[state]) for state in STALLS if state in _CAUSES[name]},
        }
    return result
