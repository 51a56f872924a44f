"""Random programs on the reference machine and on the RTL: its memories are filled first and stored at the end."""

from __future__ import annotations

import atexit
from collections.abc import Callable

import numpy as np

from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.executor import MachineFault, Memory
from moesaic.spec.machine import ReferenceMachine
from tests.verify.fuzz.framing import Framing
from tests.verify.fuzz.possible_faults import possible_faults, told
from tests.verify.fuzz.program_checks import Difference, ProgramCase
from tests.verify.fuzz.random_programs import CONFIGURATIONS, DATA_BYTES, FRAME_BYTES

_MAX_CYCLES = 200_000
_RANDOM_DRAM = 1


class RtlCheck:
    """Reference machine against RTL with random DRAM timing, of the configuration "small"."""

    def __init__(self) -> None:
        self._configuration = CONFIGURATIONS["small"]
        self._framing = Framing(self._configuration, DATA_BYTES, FRAME_BYTES)
        self._open()
        atexit.register(self._close)

    def _close(self) -> None:
        self._rtl.close()

    def _open(self) -> None:
        self._rtl = RtlExecutor(RTL_DIRECTORY, self._configuration, random_seed=_RANDOM_DRAM)

    def __call__(self, data: bytes) -> str:
        """Raises tests.verify.fuzz.program_checks.Difference; otherwise how the run ended."""
        case = ProgramCase.of(data, self._configuration, self._framing)
        program, memory = case.windows()
        expected = Memory(memory.constants, memory.frame.copy())
        allowed = possible_faults(
            ReferenceMachine(self._configuration), program, Memory(memory.constants, memory.frame.copy())
        )
        try:
            counters = self._rtl.run(program, memory, _MAX_CYCLES)
        except InternalError as error:
            self._rtl.close()
            self._open()
            raise Difference(f"the simulation ended: {error}") from error
        except MachineFault as fault:
            if told(fault) not in allowed:
                raise Difference(f"RTL: {told(fault)}, allowed: {sorted(allowed)}") from fault
            return f"{self._word(case)} {fault.cause.name.lower()}, {len(allowed)} possible"
        if allowed:
            raise Difference(f"RTL: no fault, expected one of {sorted(allowed)}")
        wanted = ReferenceMachine(self._configuration).run(program, expected, 0)
        if not np.array_equal(memory.frame, expected.frame):
            wrong = np.flatnonzero(memory.frame != expected.frame)
            raise Difference(f"the frame differs in {wrong.size} bytes, the first at {wrong[0]}")
        for name in ("instructions", "matmul_array", "write_beats"):
            if counters[name] != wanted[name]:
                raise Difference(f"{name}: RTL {counters[name]}, reference {wanted[name]}")
        return f"{self._word(case)} end"

    @staticmethod
    def _word(case: ProgramCase) -> str:
        return "illegal" if case.illegal else "legal"


def checker(kind: str) -> Callable[[bytes], str]:
    """See moesaic's tests.verify.fuzz.batches.Kind; outcomes are "legal" or "illegal" and how the run ended."""
    return RtlCheck()
