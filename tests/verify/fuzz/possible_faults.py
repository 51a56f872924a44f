"""Which faults may end a run, when several units have one: the contract of docs/isa.md, on the reference machine."""

from __future__ import annotations

from collections.abc import Iterator

from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import Fault, Unit
from moesaic.spec.issue import Issue, Issued, read_program
from moesaic.spec.machine import ReferenceMachine

Told = tuple[Fault, str, int]
"""Cause, unit and tag, as the registers tell them."""


def told(fault: MachineFault) -> Told:
    """What the registers tell of a fault."""
    return fault.cause, fault.unit, fault.tag


def possible_faults(machine: ReferenceMachine, program: Program, memory: Memory) -> set[Told]:
    """The faults of which one ends the run; empty if it ends well.

    A unit that faults goes no further, and all others go on without its signals, as if they had been faster: whatever they meet
    may have come first. Fetch goes as far as the program goes, for hardware may hold more instructions than the configuration says.
    A semaphore that could pass its limit with a slow consumer passes it here only if it does with the reference machine's order.
    """
    found: set[Told] = set()
    issue = Issue(_before_the_fault(program, memory, machine, found), None)
    issue.fill()
    stuck: set[Unit] = set()
    progress = True
    while progress:
        progress = False
        for unit in Unit:
            while unit not in stuck and issue.ready(unit):
                progress = True
                instruction = issue.start(unit)
                try:
                    machine.execute(instruction, memory)
                    issue.complete(instruction)
                except MachineFault as fault:
                    found.add(told(fault))
                    stuck.add(unit)
    if not found:
        try:
            issue.require_finished()
        except MachineFault as fault:
            found.add(told(fault))
    return found


def _before_the_fault(
    program: Program, memory: Memory, machine: ReferenceMachine, found: set[Told]
) -> Iterator[Issued]:
    try:
        yield from read_program(program, memory.constants, machine.configuration)
    except MachineFault as fault:
        found.add(told(fault))
