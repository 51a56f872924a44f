"""The list of mutants fits the design, and what is to catch them passes on the design without one."""

from __future__ import annotations

import pytest

from moesaic.spec.machine import ReferenceMachine
from tests.mutants.run import MAX_CYCLES, RTL, Mutant, expected_frames, load_mutants, verdict, workload

MUTANTS = load_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_exactly_one_place(mutant: Mutant) -> None:
    assert (RTL / mutant.file).read_text().count(mutant.find) == 1
    assert mutant.replace != mutant.find


def test_there_are_at_least_ten_mutants_of_different_names() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10


def test_the_workload_loads_experts_conditionally() -> None:
    """In both tasks; otherwise nothing shows a load that is wrongly left out."""
    build, skipping = workload(), []
    machine = ReferenceMachine(
        build.configuration, observe=lambda name, fields, _: skipping.append(bool(fields.get("skip_if_empty")))
    )
    for task in build.tasks.values():
        skipping.clear()
        machine.run(task.program, build.new_memory(), MAX_CYCLES)
        assert any(skipping)


@pytest.mark.slow  # `make mutants` begins with it
def test_the_workload_passes_on_the_unbroken_design() -> None:
    build = workload()
    assert verdict(RTL, build, expected_frames(build)) == ""
