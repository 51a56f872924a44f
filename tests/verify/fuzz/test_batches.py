"""A slice of each campaign that needs no simulator, and what a batch says of a case that fails, dies or hangs."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from moesaic.spec.executor import MachineFault, Memory
from moesaic.spec.isa import Fault
from moesaic.spec.machine import ReferenceMachine
from tests.verify.fuzz import batch_process
from tests.verify.fuzz.batches import KINDS, run_batch
from tests.verify.fuzz.campaign import ASKED, batches, summary
from tests.verify.fuzz.choices import Choices
from tests.verify.fuzz.framing import Framing
from tests.verify.fuzz.possible_faults import possible_faults
from tests.verify.fuzz.program_checks import ProgramCase
from tests.verify.fuzz.random_programs import CONFIGURATIONS, DATA_BYTES, FRAME_BYTES

SMALL = CONFIGURATIONS["small"]


def inputs(kind: str, count: int, seed: int) -> list[bytes]:
    made = random.Random(seed)
    return [made.randbytes(KINDS[kind].case_bytes) for _ in range(count)]


@pytest.mark.parametrize("kind", ["bundles", "builds", "images", "recipes"])
@pytest.mark.parametrize("seed", [0], ids=lambda seed: f"seed{seed}")
def test_damaged_files(kind, seed):
    batch = run_batch(kind, seed, 40)
    assert not batch["failures"], batch["failures"]
    assert batch["cases"] == 40 and batch["outcomes"]["refused"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["programs", "rtl-programs", "checkpoints", "onnx"])
@pytest.mark.parametrize("seed", [0], ids=lambda seed: f"seed{seed}")
def test_what_takes_long_to_start(kind, seed):
    batch = run_batch(kind, seed, 100)
    assert not batch["failures"], batch["failures"]
    assert batch["cases"] == 100


def test_one_of_the_possible_faults_ends_a_run():
    """Several units fault: in each order of the units, the first fault is a possible one, and different ones come first."""
    framing, found = Framing(SMALL, DATA_BYTES, FRAME_BYTES), set()
    for data in inputs("rtl-programs", 200, 3):
        program, memory = (case := ProgramCase.of(data, SMALL, framing)).windows()
        allowed = possible_faults(ReferenceMachine(SMALL), program, Memory(memory.constants, memory.frame.copy()))
        try:
            ReferenceMachine(SMALL).run(program, memory, 0)
        except MachineFault as fault:
            assert (fault.cause, fault.unit, fault.tag) in allowed
            found.add(len(allowed))
        else:
            assert not allowed and not case.illegal
    assert {1, 2} <= found


def small_failure(data: bytes) -> str:
    if data[5] >= 77:
        raise ValueError("too large")
    return "small"


def test_a_failure_is_made_small(monkeypatch, tmp_path):
    monkeypatch.setattr(batch_process, "checker_of", lambda kind: small_failure)
    batch = batch_process.run("recipes", 1, 1000, tmp_path / "case")
    (failure,) = batch["failures"]
    data = bytes.fromhex(failure["input"])
    assert data[5] == 77 and not any(data[:5] + data[6:]) and "too large" in failure["error"]
    assert batch["cases"] == batch["outcomes"].get("small", 0) + 1


def test_the_campaign_asks_for_every_kind_by_turns():
    cases = list(batches(list(KINDS), 7))
    asked = Counter[str]()
    for case in cases:
        kind, _, count = case.arguments
        asked[kind] += count
    assert asked == ASKED and asked["programs"] >= 100_000 and asked["rtl-programs"] >= 5_000
    assert sum(count for kind, count in asked.items() if not kind.endswith("programs")) >= 20_000
    assert len({case.key for case in cases}) == len(cases) == len({case.arguments[:2] for case in cases})
    assert {case.arguments[0] for case in cases[: len(KINDS)]} == set(KINDS)
    assert min(case.arguments[1] for case in cases) == 7


def test_the_sum_of_batches():
    batch = {
        "kind": "programs",
        "seed": 3,
        "cases": 5,
        "outcomes": {"legal end": 4},
        "failures": [{"input": "00", "error": "x"}],
    }
    files = {"kind": "images", "seed": 0, "cases": 2, "outcomes": {"refused": 2}, "failures": []}
    assert summary([batch, files, {**batch, "failures": []}]) == {
        "programs": 10, "rtl_programs": 0, "files": 2, "failures": 1,
        "outcomes": {"images": {"refused": 2}, "programs": {"legal end": 8}},
        "found": [{"kind": "programs", "seed": 3, "input": "00", "error": "x"}],
    }  # fmt: skip


def test_no_choice_is_made_without_bytes():
    choices = Choices(b"\x05\x01\x02")
    assert [choices.below(4), choices.below(1 << 16), choices.below(9), choices.one_of("ab")] == [1, 513, 0, "a"]
    assert Fault(choices.below(3)) == Fault.NONE
