"""Random programs on the reference machine and on the C++ leave the same memories and queues, and a difference is seen."""

from __future__ import annotations

import random

import pytest

from tests.verify.fuzz.batches import KINDS
from tests.verify.fuzz.emulator_programs import checker
from tests.verify.fuzz.program_checks import Difference

PROGRAMS = [random.Random(seed).randbytes(KINDS["programs"].case_bytes) for seed in range(400)]


def test_programs_without_sanitizers():
    check = checker("programs", sanitized=False)
    outcomes = [check(data) for data in PROGRAMS]
    legal = [outcome for outcome in outcomes if outcome.startswith("legal")]
    assert len(legal) > 200 and legal.count("legal end") > len(legal) / 2
    assert {"illegal bad_instruction", "legal address", "illegal address"} <= set(outcomes)


def test_a_difference_of_two_machines_is_seen(monkeypatch):
    """The reference machine with another rounding."""
    monkeypatch.setattr("moesaic.spec.machine.requantise", lambda total, multiplier, shift: total * multiplier >> shift)
    check = checker("programs", sanitized=False)
    with pytest.raises(Difference):
        for data in PROGRAMS:
            check(data)
