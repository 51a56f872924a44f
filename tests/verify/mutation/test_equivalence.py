"""Proofs that mutants are equivalent: a change that is none is proved, and one that is noticed is not."""

from __future__ import annotations

import re

import pytest

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.mutation import netlist_mutants
from tests.verify.mutation.equivalence import proved_equivalent, proved_equivalent_in_netlist
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.samples import module_parameters

_MODULE = "moesaic_round_robin"
_ORIGINAL = b"request_i & after_q"


@pytest.mark.parametrize(
    ("replacement", "equivalent"),
    [("~(~request_i | ~after_q)", True), ("request_i", False)],
)
def test_a_change_of_the_source(replacement: str, equivalent: bool) -> None:
    start = (RTL_DIRECTORY / f"{_MODULE}.sv").read_bytes().index(_ORIGINAL)
    mutation = Mutation(_MODULE, "", start, start + len(_ORIGINAL), 0, _ORIGINAL.decode(), replacement)
    assert proved_equivalent(mutation) == equivalent


def test_another_edge_of_the_clock_is_not_proved() -> None:
    sets = module_parameters()["moesaic_delay_line"]
    sampled = netlist_mutants.module_sample("moesaic_delay_line", sets[:1], 200, 1)
    inverted = next(each for each in sampled if "-mode inv" in each.replacement and "-port CLK" in each.replacement)
    assert not proved_equivalent_in_netlist(inverted)


def test_another_edge_for_a_module_below_is_not_proved() -> None:
    module = "moesaic_issue"
    (any_one,) = netlist_mutants.module_sample(module, module_parameters()[module], 1, 1)
    setting = any_one.replacement.splitlines()[0]
    change = f"{setting}\nmutate -mode inv -module {module} -cell u_header -port clk_i -portbit 0"
    assert not proved_equivalent_in_netlist(Mutation(module, "", 0, 0, 0, "", change))


def test_a_change_of_the_elaborated_design() -> None:
    sampled = netlist_mutants.module_sample(_MODULE, module_parameters()[_MODULE], 8, 1)
    changed = next(each for each in sampled if "-mode inv" in each.replacement and "$add" in each.replacement)
    assert not proved_equivalent_in_netlist(changed)
    unchanged = re.sub(r"-mode \S+", "-mode none", changed.replacement)
    assert proved_equivalent_in_netlist(Mutation(changed.module, "", 0, 0, 0, "", unchanged))
