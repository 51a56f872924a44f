"""Runs a random program on two machines and compares all that the contract fixes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import Counters, MachineFault, Memory, Program
from moesaic.spec.machine import ReferenceMachine
from tests.verify.fuzz.choices import Choices
from tests.verify.fuzz.framing import Framing
from tests.verify.fuzz.observed_emulator import ObservedEmulator, random_state, reference_state, set_reference
from tests.verify.fuzz.possible_faults import told
from tests.verify.fuzz.random_programs import (
    CONFIGURATIONS,
    DATA_BYTES,
    FRAME_BYTES,
    Order,
    RandomProgram,
    random_program,
)

_STATES = 16


class Difference(AssertionError):
    """Two machines disagree."""


@dataclass
class ProgramCase:
    """What the bytes of a case stand for."""

    program: RandomProgram
    illegal: bool
    seed: int
    framing: Framing | None = None

    @classmethod
    def of(
        cls, data: bytes, configuration: HardwareConfiguration | None = None, framing: Framing | None = None
    ) -> ProgramCase:
        """configuration: None lets the bytes choose. framing: for machines with a clock."""
        choices = Choices(data)
        machine = CONFIGURATIONS["wide" if choices.rarely(4) else "small"]
        order = choices.one_of([Order.ASSEMBLER, Order.RANDOM])
        illegal, seed = choices.rarely(3), choices.below(_STATES)
        program = random_program(
            choices, configuration or machine, Order.ASSEMBLER if framing else order, illegal, framing
        )
        return cls(program, illegal, seed, framing)

    def windows(self) -> tuple[Program, Memory]:
        """The program and new windows, the same each time."""
        rng = np.random.default_rng(self.seed)
        parts = [rng.integers(0, 256, DATA_BYTES, np.uint8)]
        parts += [self.framing.constants] if self.framing else []
        offset = sum(part.size for part in parts)
        constants = np.concatenate([*parts, np.frombuffer(self.program.code, np.uint8)])
        frame = rng.integers(0, 256, self.framing.frame_bytes if self.framing else FRAME_BYTES, np.uint8)
        return Program(offset, len(self.program.code)), Memory(constants, frame)


@dataclass
class _Pair:
    """A configuration's two machines and the states that they start from."""

    reference: ReferenceMachine
    emulator: ObservedEmulator
    states: list[np.ndarray]


class EmulatorCheck:
    """Reference machine against emulator: everything is fixed, for both let the units take the same turns.

    sanitized: the emulator stops the process at undefined behaviour of the C++.
    """

    def __init__(self, *, sanitized: bool) -> None:
        self._sanitized = sanitized
        self._pairs: dict[str, _Pair] = {}

    def _pair(self, c: HardwareConfiguration) -> _Pair:
        if c.name not in self._pairs:
            states = [random_state(c, np.random.default_rng([seed, 1])) for seed in range(_STATES)]
            self._pairs[c.name] = _Pair(ReferenceMachine(c), ObservedEmulator(c, sanitized=self._sanitized), states)
        return self._pairs[c.name]

    def __call__(self, case: ProgramCase) -> str:
        """Raises Difference; otherwise how the run ended, "end" or the cause of its fault."""
        pair, seed = self._pair(case.program.configuration), case.seed
        set_reference(pair.reference, pair.states[seed])
        pair.emulator.set_state(pair.states[seed])
        outcomes = []
        for machine in (pair.reference, pair.emulator):
            program, memory = case.windows()
            before = memory.constants.copy()
            outcome: Counters | tuple = {}
            try:
                outcome = machine.run(program, memory, 0)
            except MachineFault as fault:
                outcome = told(fault)
            if not np.array_equal(memory.constants, before):
                raise Difference(f"{type(machine).__name__} wrote to the constant window")
            outcomes.append((outcome, memory.frame))
        (expected, frame), (found, found_frame) = outcomes
        if expected != found:
            raise Difference(f"reference: {expected}, emulator: {found}")
        if isinstance(expected, tuple):
            return expected[0].name.lower()
        if not np.array_equal(frame, found_frame):
            raise Difference(f"the frame differs in {np.count_nonzero(frame != found_frame)} bytes")
        self._compare(reference_state(pair.reference), pair.emulator.state())
        return "end"

    @staticmethod
    def _compare(expected: np.ndarray, found: np.ndarray) -> None:
        for name in ("act", "weight", "table", "rows", "queue"):
            if expected[name].tobytes() != found[name].tobytes():
                raise Difference(f"{name} differs")
