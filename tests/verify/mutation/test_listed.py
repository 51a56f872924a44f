"""The list of mutants fits the design, and the workload reaches what they break."""

from __future__ import annotations

import pytest

from moesaic.errors import UserError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.spec.machine import ReferenceMachine
from tests.verify.mutation.argued import load_argued
from tests.verify.mutation.listed import Listed, chosen_listed, load_listed
from tests.verify.mutation.samples import all_mutations
from tests.verify.mutation.workload import MAX_CYCLES, configuration, network, steps

MUTANTS = load_listed()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_exactly_one_place(mutant: Listed) -> None:
    mutation = mutant.mutation(RTL_DIRECTORY)
    assert mutation.replacement != mutation.original
    text = (RTL_DIRECTORY / mutant.file).read_bytes()
    assert len(mutation.apply(text)) == len(text) + len(mutant.replace) - len(mutant.find)


def test_names_differ_and_an_unknown_one_is_refused() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10
    with pytest.raises(UserError, match="unknown mutant nonsense; known: rounding, "):
        chosen_listed(["nonsense"])


def test_no_place_of_a_listed_mutant_cuts_one_of_an_operator() -> None:
    """Otherwise they could not stand in one design."""
    for mutant in MUTANTS:
        place = mutant.mutation(RTL_DIRECTORY)
        for other in all_mutations():
            if other.module == place.module:
                apart = other.end <= place.start or place.end <= other.start
                inside = place.start <= other.start and other.end <= place.end
                around = other.start <= place.start and place.end <= other.end
                assert apart or inside or around, (mutant.name, other.name)


def test_the_workload_loads_experts_conditionally() -> None:
    """In both tasks; otherwise nothing shows a load that is wrongly left out."""
    build, skipping = network(), list[bool]()
    machine = ReferenceMachine(
        configuration(), observe=lambda name, fields, _: skipping.append(bool(fields.get("skip_if_empty")))
    )
    for task in build.tasks.values():
        skipping.clear()
        machine.run(task.program, build.new_memory(), MAX_CYCLES)
        assert any(skipping)


def test_each_argued_mutant_is_one_of_the_operators() -> None:
    for argued in load_argued():
        assert sum(argued.fits(mutant) for mutant in all_mutations()) == 1, argued
        assert len(argued.reason) > 40


def test_steps_have_names_of_their_own() -> None:
    names = [step.name for step in steps()]
    assert len(set(names)) == len(names)
