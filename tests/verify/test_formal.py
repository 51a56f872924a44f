"""The proofs' own tests: their lists fit the design, the checks of deadlock can fail, and one proof runs where sby is installed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import Unit, semaphore
from tests.docs.markdown import REPOSITORY
from tests.hls.networks import SMALL, network
from tests.verify.formal import environment, sby
from tests.verify.formal.arithmetic_lemmas import LEMMAS
from tests.verify.formal.broken_copies import BrokenCopy, broken_copies, failing, task_of
from tests.verify.formal.deadlock import Step, broken_hypotheses, explore, largest_counts, overflowing
from tests.verify.formal.deadlock_checks import ACCESSES, assembled, programs_of, require_no_deadlock, require_sound
from tests.verify.formal.run import cases
from tests.verify.formal.sessions import end_session, processes_of
from tests.verify.formal.tasks import TASKS, ProofTask

needs_sby = pytest.mark.skipif(bool(environment.missing()), reason=environment.missing())
LOAD, MATMUL = Unit.LOAD, Unit.MATMUL
TO_MATMUL = 1 << semaphore(LOAD, MATMUL)
TO_LOAD = 1 << semaphore(MATMUL, LOAD)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_has_its_sources(task: ProofTask) -> None:
    text = "\n".join(path.read_text() for path in task.sources())
    assert "assert (" in text
    assert "cover (" in text


def test_names_are_unique() -> None:
    names = [case.title for case in cases()]
    assert len(set(names)) == len(names)


def test_the_page_has_every_task() -> None:
    page = (REPOSITORY / "docs" / "verification.md").read_text()
    section = page.split("## What is proved\n")[1].split("\n## ")[0]
    rows = [row.split("|")[3] for row in section.splitlines() if row.startswith("| ") and "`" in row]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named == {case.title for case in cases()}


@pytest.mark.parametrize("copy", broken_copies(), ids=lambda copy: f"{copy.task}-{copy.property}")
def test_a_broken_copy_fits_the_design(copy: BrokenCopy, tmp_path) -> None:
    copy.write(tmp_path / "rtl")
    assert f"{copy.property}: assert" in "\n".join(path.read_text() for path in task_of(copy).sources())


def test_every_proof_has_a_broken_copy() -> None:
    broken = {task_of(copy).top for copy in broken_copies()}
    assert not {task.top for task in TASKS} - broken


@pytest.mark.parametrize("name", LEMMAS)
def test_lemma(name: str) -> None:
    assert LEMMAS[name]() > 0


@needs_sby
def test_a_proof_and_its_broken_copy(tmp_path) -> None:
    copy = next(copy for copy in broken_copies() if copy.task == "skid_buffer")
    assert sby.run(task_of(copy), "prove", tmp_path / "proof").status == "PASS"
    assert failing(copy, tmp_path / "broken").status == "FAIL"


def test_what_a_program_started_ends_with_it() -> None:
    """Also a child in a process group of its own that does not listen to requests, as a solver may be."""
    stubborn = "import os, signal; os.setpgrp(); signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stubborn!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert len(processes_of(process.pid)) == 2
    end_session(process)
    assert not processes_of(process.pid)


def test_programs_of_a_network_keep_the_hypotheses() -> None:
    build = generate(network(SMALL, 1), load_configuration("tiny"))
    programs = dict(programs_of(build))
    assert len(programs) == 3
    for label, program in programs.items():
        require_sound(label, program, build.configuration.instruction_queue)


BROKEN = {
    "later": (Step(MATMUL, waits=TO_MATMUL), Step(LOAD, signals=TO_MATMUL)),
    "of another unit": (Step(LOAD, signals=TO_MATMUL), Step(LOAD, waits=TO_MATMUL)),
    "with itself": (
        Step(LOAD, signals=1 << semaphore(LOAD, LOAD)),
        Step(LOAD, waits=1 << semaphore(LOAD, LOAD)),
    ),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_hypothesis_is_named(words: str) -> None:
    assert any(words in problem for problem in broken_hypotheses(BROKEN[words]))


def test_a_wait_before_its_signal_deadlocks() -> None:
    crossed = (
        Step(MATMUL, waits=TO_MATMUL, signals=TO_LOAD),
        Step(LOAD, waits=TO_LOAD, signals=TO_MATMUL),
    )
    assert explore(crossed, depth=1).deadlocks


def test_fetch_behind_a_full_queue_deadlocks_when_the_signal_comes_later() -> None:
    """The signal that the first matmul waits for is behind the second, for which there is no place in a queue of one."""
    late = (Step(MATMUL, waits=TO_MATMUL), Step(MATMUL), Step(LOAD, signals=TO_MATMUL))
    assert explore(late, depth=1).deadlocks
    assert not explore(late, depth=2).deadlocks
    assert broken_hypotheses(late)


@pytest.mark.parametrize("depth", [1, 2])
def test_no_program_of_three_deadlocks(depth: int) -> None:
    kinds = [(name, access) for name in ("load", "matmul") for access in ACCESSES]
    programs = {assembled((first, second, third)) for first in kinds for second in kinds for third in kinds}
    assert len(programs) > 40
    for program in programs:
        assert not broken_hypotheses(program)
        require_no_deadlock(program, depth)


def test_the_bound_of_a_count_is_reached() -> None:
    """Three signals may come before the first wait; the fourth only after it, which fetch holds up behind a full queue."""
    program = (*[Step(LOAD, signals=TO_MATMUL)] * 3, Step(MATMUL, waits=TO_MATMUL), Step(LOAD, signals=TO_MATMUL))
    number = semaphore(LOAD, MATMUL)
    assert largest_counts(program, depth=1)[number] == max(explore(program, depth=1).counts) == 4
    there = Step(LOAD, signals=TO_MATMUL), Step(MATMUL, waits=TO_MATMUL, signals=TO_LOAD)
    again = Step(LOAD, waits=TO_LOAD, signals=TO_MATMUL), Step(MATMUL, waits=TO_MATMUL, signals=TO_LOAD)
    ping_pong = (*there, *again)
    assert largest_counts(ping_pong, depth=1)[number] == max(explore(ping_pong, depth=1).counts) == 1


def test_too_many_signals_ahead_overflow() -> None:
    """Of 256 signals, none has to wait for a taker."""
    program = [Step(LOAD, signals=TO_MATMUL)] * 256 + [Step(MATMUL, waits=TO_MATMUL)] * 256
    assert overflowing(program, depth=8) == [f"semaphore {semaphore(LOAD, MATMUL)} may count to 256, beyond 255"]
    assert not overflowing(program[1:256] + program[257:], depth=8)
