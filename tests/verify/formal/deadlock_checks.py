"""The checks of tests.verify.formal.deadlock: its hypotheses on emitted programs, its machine on short ones, its argument by the solver."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator

import numpy as np

from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import Build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import BY_NAME
from moesaic.spec.issue import read_program
from tests.hls.networks import ARCHITECTURES, network, token_tasks_of
from tests.hls.random_bundle import random_bundle
from tests.verify.formal.deadlock import (
    Step,
    broken_hypotheses,
    explore,
    largest_counts,
    overflowing,
)
from tests.verify.formal.environment import DIRECTORY

A, B = Span("act", 0, 64), Span("act", 64, 128)
ACCESSES = (((A,), ()), ((), (A,)), ((A,), (B,)), ((B,), (A,)))
"""Reads and writes of an instruction. The names of the spans do not matter, so that B alone need not be there."""
NAMES = ("load", "matmul", "softmax", "store", "route")
"""An instruction of each unit."""
IN_FRONT = 2
"""Instructions that `issue` holds between a unit's queue and the unit (the two of its skid buffer)."""


def steps_of(assembler: Assembler) -> tuple[Step, ...]:
    """What an assembler emitted."""
    return tuple(
        Step(int(BY_NAME[e.name].unit), e.wait_mask, e.signal_mask, bool(e.fields.get("overlap")))
        for e in assembler.entries
    )


def assembled(kinds: tuple[tuple[str, tuple[tuple[Span, ...], tuple[Span, ...]]], ...]) -> tuple[Step, ...]:
    """The program of instructions with these names, reads and writes."""
    assembler = Assembler(load_configuration("tiny"), {})
    for name, (reads, writes) in kinds:
        assembler.emit(name, "", reads, writes)
    return steps_of(assembler)


def programs_of(build: Build) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Every program of a build with its label."""
    programs = [program for name in build.pathways for program in build.programs_for([name])]
    for program in (*programs, *build.joint):
        issued = read_program(program.program, build.constants, build.configuration)
        yield (
            program.label,
            tuple(
                Step(int(i.unit), i.fields["wait_mask"], i.fields["signal_mask"], bool(i.fields.get("overlap")))
                for i in issued
            ),
        )


def require_sound(label: str, program: tuple[Step, ...], depth: int) -> None:
    """AssertionError if a program breaks a hypothesis. depth: of the queues of the units."""
    problems = broken_hypotheses(program)
    problems = problems or overflowing(program, depth + IN_FRONT)
    assert not problems, f"{label}: {problems[0]}"


def require_no_deadlock(program: tuple[Step, ...], depth: int) -> int:
    """AssertionError if a run of a program deadlocks, or a semaphore counts beyond its bound. Returns the number of states."""
    runs = explore(program, depth)
    assert not runs.deadlocks, f"{runs.deadlocks} deadlocks of {program}"
    bounds = largest_counts(program, depth)
    for number, most in enumerate(runs.counts):
        assert most <= bounds.get(number, 0), f"semaphore {number} counts to {most}, its bound is {bounds}: {program}"
    return runs.states


def programs_of_the_test_networks() -> int:
    """Hypotheses (1) to (4) of every program of the test networks, whole and by token, and of joint programs."""
    count = 0
    for name, architecture in ARCHITECTURES.items():
        for bundle in (network(architecture, 1), random_bundle(architecture, token_tasks_of(architecture), 1)):
            build = generate(bundle, load_configuration("tiny"))
            for label, program in programs_of(build):
                require_sound(f"{name}, {label}", program, build.configuration.instruction_queue)
                count += 1
    return count


def every_program_of_four() -> int:
    """All programs of up to 4 instructions of 3 units on two spans, every run: no deadlock, hypotheses, and the bound of the counts."""
    kinds = list(itertools.product(NAMES[:3], ACCESSES))
    distinct = {assembled(kind) for length in range(1, 5) for kind in itertools.product(kinds, repeat=length)}
    for program in distinct:
        assert not broken_hypotheses(program), f"{broken_hypotheses(program)[0]}: {program}"
        for depth in (1, 2):
            require_no_deadlock(program, depth)
    return len(distinct)


def random_programs() -> int:
    """1,000 programs of 6 to 9 instructions of all units on four spans, every run, as above."""
    rng = np.random.default_rng(17)
    spans = [Span("act", 64 * n, 64 * n + 64) for n in range(4)]
    for _ in range(1000):
        kinds = []
        for _ in range(int(rng.integers(6, 10))):
            reads, writes = rng.integers(0, 2, 4).astype(bool), rng.integers(0, 3, 4) == 0
            kinds.append((
                NAMES[int(rng.integers(len(NAMES)))],
                (tuple(s for s, r in zip(spans, reads) if r), tuple(s for s, w in zip(spans, writes) if w)),
            ))  # fmt: skip
        program = assembled(tuple(kinds))
        assert not broken_hypotheses(program), f"{broken_hypotheses(program)[0]}: {program}"
        require_no_deadlock(program, int(rng.integers(1, 4)))
    return 1000


SOLVER_INSTRUCTIONS = 9
SOLVER_UNITS = 4


def argument_by_the_solver() -> int:
    """z3: no program that keeps hypotheses (1) to (3) has a state in which nothing can happen before its end, reachable or not.

    Programs of SOLVER_INSTRUCTIONS instructions of SOLVER_UNITS units with any masks, queues of any depth from 1, at any state in
    which units have started and completed their instructions in order.
    """
    return _solve(argument(SOLVER_INSTRUCTIONS, SOLVER_UNITS))


def argument(count: int, units: int, *, ordered: bool = True) -> str:
    """SMT-LIB of: a program and a state of it that is stuck. ordered: whether the program keeps hypothesis (1) and (2)."""
    lines = ["(set-logic QF_LIA)"]
    instructions, pairs = range(count), [(p, c) for p in range(units) for c in range(units) if p != c]

    def declare(name: str, sort: str) -> str:
        lines.append(f"(declare-const {name} {sort})")
        return name

    def require(text: str) -> None:
        lines.append(f"(assert {text})")

    def total(terms: list[str]) -> str:
        return f"(+ 0 0 {' '.join(f'(ite {term} 1 0)' for term in terms)})"

    unit = [declare(f"unit{i}", "Int") for i in instructions]
    signals = [{pair: declare(f"s{i}_{pair[0]}_{pair[1]}", "Bool") for pair in pairs} for i in instructions]
    waits = [{pair: declare(f"w{i}_{pair[0]}_{pair[1]}", "Bool") for pair in pairs} for i in instructions]
    started = [declare(f"started{i}", "Bool") for i in instructions]
    completed = [declare(f"completed{i}", "Bool") for i in instructions]
    fetched, depth = declare("fetched", "Int"), declare("depth", "Int")
    require(f"(and (<= 0 {fetched} {count}) (>= {depth} 1))")
    for i in instructions:
        require(f"(and (<= 0 {unit[i]}) (< {unit[i]} {units}))")
        require(f"(=> {completed[i]} {started[i]})")
        require(f"(=> {started[i]} (< {i} {fetched}))")
        for p, c in pairs:
            require(f"(=> {signals[i][p, c]} (= {unit[i]} {p}))")
            require(f"(=> {waits[i][p, c]} (= {unit[i]} {c}))")
        for j in range(i):
            same = f"(= {unit[i]} {unit[j]})"
            require(f"(=> (and {same} {started[i]}) {started[j]})")
            require(f"(=> (and {same} {completed[i]}) {completed[j]})")
    available = {}
    for pair in pairs:
        given = [signals[i][pair] for i in instructions]
        taken = [waits[i][pair] for i in instructions]
        if ordered:
            for i in instructions:
                require(f"(=> {taken[i]} (<= {total(taken[: i + 1])} {total(given[:i])}))")
        available[pair] = (
            f"(- {total([f'(and {given[i]} {completed[i]})' for i in instructions])}"
            f" {total([f'(and {taken[i]} {started[i]})' for i in instructions])})"
        )
    # Stuck: everything started is complete, fetch has nothing more or no room, and the first of each queue lacks a semaphore.
    require(f"(not (and {' '.join(completed)}))")
    for i in instructions:
        require(f"(= {started[i]} {completed[i]})")
        held = total([f"(and (= {unit[j]} {unit[i]}) (not {started[j]}))" for j in range(i)])
        require(f"(=> (= {fetched} {i}) (>= {held} {depth}))")
        lacks = " ".join(f"(and {waits[i][pair]} (<= {available[pair]} 0))" for pair in pairs)
        before = " ".join(f"(=> (= {unit[j]} {unit[i]}) {started[j]})" for j in range(i))
        require(f"(=> (and (< {i} {fetched}) (not {started[i]}) {before}) (or false {lacks}))")
    return "\n".join([*lines, "(check-sat)\n"])


def _solve(text: str) -> int:
    answer = subprocess.run(
        [DIRECTORY / "bin" / "z3", "-in", "-T:900"], input=text, capture_output=True, text=True, check=False
    )
    assert answer.stdout.strip() == "unsat", f"z3 says {answer.stdout.strip() or answer.stderr}"
    return 1


CHECKS = {
    "programs_of_the_test_networks": programs_of_the_test_networks,
    "every_program_of_four": every_program_of_four,
    "random_programs": random_programs,
    "argument_by_the_solver": argument_by_the_solver,
}
"""Name to a function that raises AssertionError if what it checks is not so, and returns how many cases it looked at."""
