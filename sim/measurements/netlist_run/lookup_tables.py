"""Lookup tables as user-defined primitives of Verilog, which know an output whenever the known inputs decide it."""

from __future__ import annotations

import functools
import itertools

_BOTH = "?"


def primitive(name: str, table: str) -> str:
    """A Verilog primitive of the name with ports `o, i0, i1, ...` that looks its inputs up.

    An unknown input counts as both values: the output is known if all tables' entries that are left agree. This is what a tree of
    multiplexers, each of which merges its inputs when its select is unknown, gives as well.

    table: 2 to the number of inputs entries 0 or 1, the last one for inputs that are all 0, as INIT of a lookup table has them.
    """
    inputs = len(table).bit_length() - 1
    ports = ", ".join(f"i{n}" for n in range(inputs))
    rows = "".join(f"    {' '.join(cube)} : {value};\n" for cube, value in prime_implicants(table))
    return f"primitive {name}(o, {ports});\n  output o;\n  input {ports};\n  table\n{rows}  endtable\nendprimitive\n"


def prime_implicants(table: str) -> list[tuple[str, str]]:
    """All largest sets of inputs with one value, largest first: inputs i0, i1, ... as 0, 1 or ?, and the value. table: see `primitive`."""
    entries, full = int(table, 2), (1 << len(table)) - 1
    found: list[tuple[str, str, int]] = []
    for cube, mask in _cubes(len(table).bit_length() - 1):
        value = "1" if entries & mask == mask else "0" if (entries ^ full) & mask == mask else None
        if value is not None and not any(mask & larger == mask for _, _, larger in found):
            found.append((cube, value, mask))
    return [(cube, value) for cube, value, _ in found]


@functools.cache
def _cubes(inputs: int) -> list[tuple[str, int]]:
    """All assignments of 0, 1 or both to the inputs, most undecided ones first, and a bit set for each entry that they meet."""
    cubes = []
    for cube in sorted(itertools.product("01" + _BOTH, repeat=inputs), key=lambda cube: -cube.count(_BOTH)):
        choices = itertools.product(*("01" if value == _BOTH else value for value in cube))
        mask = sum(1 << sum(int(value) << n for n, value in enumerate(choice)) for choice in choices)
        cubes.append(("".join(cube), mask))
    return cubes
