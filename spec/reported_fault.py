"""What the registers of a machine say of the run that they have ended."""

from __future__ import annotations

from collections.abc import Callable

from moesaic.errors import InternalError
from moesaic.spec.executor import Counters, MachineFault
from moesaic.spec.isa import FAULT_UNIT_NAMES, UNIT_NAMES, Fault


def reported_fault(cause: int, unit: int, tag: int, counters: Callable[[], Counters]) -> MachineFault:
    """The fault that FAULT, FAULT_UNIT and FAULT_TAG report. counters: reads the counters, which explain a TIMEOUT.

    InternalError if no cause or no unit has this number: the machine is broken.
    """
    if cause not in set(Fault) or unit >= len(FAULT_UNIT_NAMES):
        raise InternalError(f"the accelerator reports fault {cause} of unit {unit}, which do not exist")
    detail = _semaphore_stalls(counters()) if cause == Fault.TIMEOUT else ""
    return MachineFault(Fault(cause), FAULT_UNIT_NAMES[unit], tag, detail)


def _semaphore_stalls(counters: Counters) -> str:
    """What the counters of a machine with a clock say about a TIMEOUT: for how many cycles each unit waited for a signal.

    They do not say for which signal; `moesaic check-program` does. Empty if no unit waited.
    """
    waited = {name: counters.get(f"{name}_semaphore_stall", 0) for name in UNIT_NAMES}
    parts = [f"{name} {cycles:,}" for name, cycles in waited.items() if cycles]
    return f"of {counters['cycles']:,} cycles units waited for signals: {', '.join(parts)}" if parts else ""
