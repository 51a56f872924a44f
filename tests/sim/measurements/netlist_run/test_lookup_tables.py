"""Lookup tables as primitives: known whenever the known inputs decide the output, and only then."""

from __future__ import annotations

import itertools
import random

import pytest

from moesaic.sim.measurements.netlist_run.lookup_tables import prime_implicants, primitive


def decided(table: str, inputs: tuple[str, ...]) -> str:
    """What all entries of the table have in common that inputs of 0, 1 and x meet, or x."""
    choices = itertools.product(*("01" if value == "x" else value for value in inputs))
    found = {table[-1 - int("".join(reversed(choice)), 2)] for choice in choices}
    return found.pop() if len(found) == 1 else "x"


def looked_up(rows: list[tuple[str, str]], inputs: tuple[str, ...]) -> str:
    """What a primitive of these rows gives: the value of a row that the inputs match, x without one."""
    found = {out for cube, out in rows if all(want in ("?", have) for want, have in zip(cube, inputs, strict=True))}
    assert len(found) <= 1, "rows of both values match"
    return found.pop() if found else "x"


@pytest.mark.parametrize("seed", range(6), ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("inputs", range(1, 7))
def test_a_table_knows_what_the_known_inputs_decide(inputs, seed):
    draw = random.Random(100 * inputs + seed)
    bits = draw.choices("01", weights=(1, draw.choice((1, 4))), k=1 << inputs)
    table = "".join(bits)
    rows = prime_implicants(table)
    for values in itertools.product("01x", repeat=inputs):
        assert looked_up(rows, values) == decided(table, values), (table, values)


def test_a_constant_table_is_known_whatever_its_inputs_are():
    assert prime_implicants("0000") == [("??", "0")]
    assert prime_implicants("1111") == [("??", "1")]


def test_the_last_entry_is_the_one_of_inputs_that_are_all_0():
    assert primitive("only_i0", "0010").splitlines() == [
        "primitive only_i0(o, i0, i1);", "  output o;", "  input i0, i1;", "  table",
        "    0 ? : 0;", "    ? 1 : 0;", "    1 0 : 1;", "  endtable", "endprimitive",
    ]  # fmt: skip
