"""Many mutants in one design, of which a simulation has one: each changed place asks which mutant is selected.

So a mutant costs a run and not a build. An expression `e` becomes `(selected == 7 ? mutated : e)`, and a dropped assignment
`begin if (selected == 8) ; else q <= d; end`; places inside a place are changed in the unmutated half. Untch, Offutt and Harrold, "Mutation
analysis using mutant schemata", ISSTA 1993.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tests.verify.mutation.operators import Mutation

Combine = Callable[[bytes, Sequence[tuple[int, Mutation]]], bytes]
"""Puts mutants of one module, each with its number, into the module's file."""
SELECTED = "moesaic_mutant_pkg::selected"
_PACKAGE = """// The mutant that this simulation has; 0 for none.
package moesaic_mutant_pkg;
  int selected = 0;
endpackage
"""
TOP = "moesaic_accelerator"
"""The top of a design; it asks which mutant is selected."""
_SELECTOR = """
  import "DPI-C" function int moesaic_selected_mutant();
  initial moesaic_mutant_pkg::selected = moesaic_selected_mutant();
  always @(negedge clk_i) moesaic_mutant_pkg::selected <= moesaic_selected_mutant();
"""


def write_design(rtl: Path, directory: Path, numbered: Mapping[int, Mutation], combine: Combine) -> None:
    """Copy the design in `rtl` to `directory`, with these mutants, by number from 1, to be selected.

    combine: `combined`, or another that puts mutants into a file. `moesaic_selected_mutant` is a DPI function that the simulator provides.
    """
    shutil.copytree(rtl, directory)
    by_module: dict[str, list[tuple[int, Mutation]]] = defaultdict(list)
    for number, mutation in numbered.items():
        by_module[mutation.module].append((number, mutation))
    for module, here in by_module.items():
        path = directory / f"{module}.sv"
        path.write_bytes(combine(path.read_bytes(), here))
    (directory / "moesaic_mutant_pkg.sv").write_text(_PACKAGE, encoding="utf-8")
    top = directory / f"{TOP}.sv"
    before, end, after = top.read_text(encoding="utf-8").rpartition("endmodule")
    top.write_text(before + _SELECTOR + end + after, encoding="utf-8")


def combined(text: bytes, numbered: Sequence[tuple[int, Mutation]]) -> bytes:
    """A file with all of these mutants in it."""
    places: dict[tuple[int, int], list[tuple[int, Mutation]]] = defaultdict(list)
    for number, mutation in numbered:
        places[mutation.start, mutation.end].append((number, mutation))
    # Outer places first; those inside of one follow it.
    ordered = sorted(places, key=lambda place: (place[0], -place[1]))
    return _rewritten(text, 0, len(text), ordered, places)


def _rewritten(
    text: bytes,
    start: int,
    end: int,
    ordered: Sequence[tuple[int, int]],
    places: Mapping[tuple[int, int], Sequence[tuple[int, Mutation]]],
) -> bytes:
    """`text[start:end]` with the places inside of it rewritten."""
    parts, at, index = [], start, 0
    while index < len(ordered):
        first, last = ordered[index]
        inside = index + 1
        while inside < len(ordered) and ordered[inside][1] <= last:
            inside += 1
        original = _rewritten(text, first, last, ordered[index + 1 : inside], places)
        parts += [text[at:first], _selecting(original, places[first, last])]
        at, index = last, inside
    return b"".join([*parts, text[at:end]])


def _selecting(original: bytes, here: Iterable[tuple[int, Mutation]]) -> bytes:
    for number, mutation in here:
        changed, selected = mutation.replacement.encode(), f"{SELECTED} == {number}".encode()
        if changed.endswith(b";"):
            original = b"begin if (%b) %b else %b end" % (selected, changed, original)
        else:
            original = b"(%b ? %b : %b)" % (selected, changed, original)
    return original
