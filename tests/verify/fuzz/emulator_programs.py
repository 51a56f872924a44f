"""Random programs on the reference machine and on the emulator."""

from __future__ import annotations

from collections.abc import Callable

from tests.verify.fuzz.program_checks import EmulatorCheck, ProgramCase


def checker(kind: str, *, sanitized: bool = True) -> Callable[[bytes], str]:
    """See moesaic's tests.verify.fuzz.batches.Kind; outcomes are "legal" or "illegal" and how the run ended."""
    check = EmulatorCheck(sanitized=sanitized)

    def one(data: bytes) -> str:
        case = ProgramCase.of(data)
        return f"{'illegal' if case.illegal else 'legal'} {check(case)}"

    return one
