"""The plan of functional coverage: its rows, and whether each was seen."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomllib

from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import BY_NAME, INSTRUCTION_BYTES, decode
from tests.spec.legal_fields import SMALLEST, sides

LIST = Path(__file__).with_name("plan.toml")
_LIMITS_TEST = "tests/sim/test_instructions.py::test_both_sides_of_every_limit"
_FIELDS_TEST = "tests/sim/test_instructions.py::test_instruction"
_CHOICE = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Row:
    """One thing that has to happen. point: its name. what: for people. test: the test that makes it happen."""

    point: str
    what: str
    test: str


def load_plan() -> list[Row]:
    """Every row: those of the list, the limits of every field and the values of every choice."""
    rows = [
        Row(point, entry["what"], entry["test"])
        for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["row"]
        for pattern in entry["points"]
        for point in spelled_out(pattern)
    ]
    points = [row.point for row in rows]
    assert len(set(points)) == len(points), "a point stands in the plan twice"
    return [*rows, *_limit_rows(), *_choice_rows()]


def spelled_out(pattern: str) -> list[str]:
    """Every point that a pattern with {a,b} stands for."""
    parts = _CHOICE.split(pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(words) for words in itertools.product(*choices)]


def _limit_rows() -> list[Row]:
    tiny = load_configuration("tiny")
    rows: dict[str, Row] = {}
    for name in SMALLEST:
        for side in sides(name, tiny):
            which = "inside" if side.legal else "outside"
            point = f"limit/{name}/{side.rule}/{which}"
            rows[point] = Row(point, f"{name}: {which} of the limit '{side.rule}'", _LIMITS_TEST)
    return list(rows.values())


def _choice_rows() -> list[Row]:
    rows = []
    for name in SMALLEST:
        for field in BY_NAME[name].fields:
            for value in ("lowest", "bits-all-seen"):
                point = f"field/{name}/{field.name}/{value}"
                what = "its lowest value" if value == "lowest" else "every bit that it may have, set and clear"
                rows.append(Row(point, f"{name}.{field.name}: {what}", _FIELDS_TEST))
    return rows


def points_of_programs(instructions: Iterable[bytes]) -> set[str]:
    """The points of the instruction table that these instructions, 64 bytes each, made happen; legal or not, they were run."""
    tiny = load_configuration("tiny")
    found: set[str] = set()
    seen: dict[tuple[str, str], tuple[int, int, int]] = {}
    run: set[tuple[str, tuple[tuple[str, int], ...]]] = set()
    for code in instructions:
        assert len(code) == INSTRUCTION_BYTES
        decoded = decode(code)
        if decoded is None or decoded[0] not in SMALLEST:
            continue
        name, fields = decoded
        own = {field.name: fields[field.name] for field in BY_NAME[name].fields}
        run.add((name, tuple(sorted(own.items()))))
        for field, value in own.items():
            ones, zeros, lowest = seen.get((name, field), (0, 0, 1 << 64))
            seen[name, field] = ones | value, zeros | ~value, min(lowest, value)
    for name in SMALLEST:
        may_be_set: dict[str, int] = {}
        may_be_clear: dict[str, int] = {}
        for side in sides(name, tiny):
            full = {field.name: side.fields.get(field.name, 0) for field in BY_NAME[name].fields}
            if (name, tuple(sorted(full.items()))) in run:
                found.add(f"limit/{name}/{side.rule}/{'inside' if side.legal else 'outside'}")
            if side.legal:
                for field, value in full.items():
                    may_be_set[field] = may_be_set.get(field, 0) | value
                    may_be_clear[field] = may_be_clear.get(field, 0) | ~value
        for field in BY_NAME[name].fields:
            if (name, field.name) not in seen:
                continue
            ones, zeros, lowest = seen[name, field.name]
            if lowest <= max(field.least, SMALLEST[name].get(field.name, 0)):
                found.add(f"field/{name}/{field.name}/lowest")
            bits = may_be_set.get(field.name, 0)
            if not bits & ~ones and not bits & may_be_clear[field.name] & ~zeros:
                found.add(f"field/{name}/{field.name}/bits-all-seen")
    return found


def seen_rows(rows: Iterable[Row], counted: Mapping[str, int], programs: set[str]) -> dict[str, bool]:
    """Point of each row to whether it was seen."""
    return {row.point: counted.get(row.point, 0) > 0 or row.point in programs for row in rows}
