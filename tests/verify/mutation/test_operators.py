"""What the operators change, and that many changes in one file keep their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.mutation.operators import ASSERTION_MODULES, Mutation, mutations
from tests.verify.mutation.samples import all_mutations, sample
from tests.verify.mutation.schemata import SELECTED, combined

_MODULE = """module moesaic_probe #(
  parameter int unsigned Width = 4
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [Width-1:0] a_i,
  input  logic [Width-1:0] b_i,
  output logic             valid_o,
  output logic [Width-1:0] q_o
);
  localparam int unsigned Half = Width / 2 + 1;
  assign valid_o = a_i < b_i && b_i != '0;
  always_ff @(posedge clk_i) begin
    for (int i = 0; i < int'(Width); i++) if (a_i[i]) q_o[i] <= ~b_i[i];
    if (!rst_ni) q_o <= Width'(Half + 3);
    assert (a_i != 4'd7);
  end
endmodule
"""


@pytest.fixture
def found(tmp_path: Path) -> list[Mutation]:
    path = tmp_path / "moesaic_probe.sv"
    path.write_text(_MODULE)
    return mutations("moesaic_probe", [path], {"Width": 4})


def test_every_operator_finds_its_places(found: list[Mutation]) -> None:
    changes = {(m.operator, m.original, m.replacement) for m in found}
    for expected in (
        ("relational", "a_i < b_i", "((a_i) <= (b_i))"),
        ("equality", "b_i != '0", "((b_i) == ('0))"),
        ("logical", "a_i < b_i && b_i != '0", "((a_i < b_i) || (b_i != '0))"),
        ("dropped operand", "a_i < b_i && b_i != '0", "(a_i < b_i)"),
        ("handshake", "a_i < b_i && b_i != '0", "'0"),
        ("condition", "!rst_ni", "1'b0"),
        ("removed operator", "~b_i[i]", "(b_i[i])"),
        ("dropped assignment", "q_o[i] <= ~b_i[i];", ";"),
        ("literal", "'0", "'1"),
    ):
        assert expected in changes


def test_what_is_constant_or_asserted_stays(found: list[Mutation]) -> None:
    for mutation in found:
        assert mutation.original not in ("Width / 2 + 1", "i < int'(Width)", "a_i != 4'd7", "4'd7", "i++")


def test_a_mutation_stands_where_it_says(found: list[Mutation]) -> None:
    text = _MODULE.encode()
    for mutation in found:
        assert text[mutation.start : mutation.end].decode() == mutation.original
        assert text[: mutation.start].count(b"\n") + 1 == mutation.line
        assert mutation.apply(text) != text


def test_all_mutations_in_one_file_leave_the_original_in_it(found: list[Mutation]) -> None:
    """Each once, and without the selections the original remains."""
    text = combined(_MODULE.encode(), list(enumerate(found, 1))).decode()
    for number in range(1, len(found) + 1):
        assert text.count(f"{SELECTED} == {number} ") + text.count(f"{SELECTED} == {number})") == 1
    for number, mutation in sorted(enumerate(found, 1), reverse=True):
        if mutation.replacement.endswith(";"):
            text = text.replace(f"begin if ({SELECTED} == {number}) {mutation.replacement} else ", "", 1)
        else:
            text = text.replace(f"({SELECTED} == {number} ? {mutation.replacement} : ", "", 1)
    assert "".join(text.replace(")", "").replace("end", "").split()) == "".join(
        _MODULE.replace(")", "").replace("end", "").split()
    )


def test_a_sample_has_every_module_and_depends_on_its_seed() -> None:
    everything = all_mutations()
    first, again, other = (sample(everything, 1000, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) >= 1000 and len(set(first)) == len(first)
    modules = {mutation.module for mutation in everything}
    assert {mutation.module for mutation in first} == modules and not modules & set(ASSERTION_MODULES)
    for module in modules:
        had = sum(mutation.module == module for mutation in everything)
        assert sum(mutation.module == module for mutation in first) >= min(8, had)
