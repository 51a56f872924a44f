"""Tests of modules on mutants: a netlist's, where a bench has its parameters, and tests that cannot see into it."""

from __future__ import annotations

import pytest

from moesaic.errors import InternalError
from tests.verify.mutation.module_tests import failing_test
from tests.verify.mutation.netlist_mutants import module_sample
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.samples import all_mutations, module_parameters

_MODULE, _TESTS = "moesaic_isqrt", "tests/sim/test_isqrt.py"
_INSIDE = "tests/verify/mutation/inside_and_ports.py"


@pytest.fixture
def mutants() -> list[Mutation]:
    return module_sample(_MODULE, module_parameters()[_MODULE], 4, 1)


def test_a_mutant_of_a_netlist_is_noticed_by_its_modules_tests(mutants: list[Mutation]) -> None:
    found = [failing_test(_TESTS, "netlist", mutants, number) for number in range(1, len(mutants) + 1)]
    assert any(each.startswith(f"{_TESTS}::") for each in found), found


def test_what_cannot_see_into_a_netlist_says_nothing(mutants: list[Mutation]) -> None:
    found = [failing_test(_INSIDE, "netlist", mutants, number) for number in (1, 2)]
    assert not found[0] and found[1].endswith("::test_ports")


def test_a_source_with_mutants_has_to_pass_without() -> None:
    mutants = [mutant for mutant in all_mutations() if mutant.module == _MODULE][:2]
    with pytest.raises(InternalError, match="test_inside fails without a mutant of moesaic_isqrt"):
        failing_test(_INSIDE, "operators", mutants, 2)
