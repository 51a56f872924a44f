"""Fields of instructions drawn from the rules of the instruction table, and the values on both sides of every limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.field_rules import AtLeast, AtMost, Choice, MultipleOf, Rule
from moesaic.spec.isa import BY_NAME, Destination, Field, LoadDestination, Space, signals_of, waits_of
from moesaic.spec.legality import Fields, holds, size_of, violation

SMALLEST: dict[str, Fields] = {
    "load": {"bytes": 16, "count_1": 1, "count_2": 1, "count_3": 1},
    "store": {"space": int(Space.FRAME), "bytes": 16, "count_1": 1, "count_2": 1, "count_3": 1},
    "matmul": {"rows": 1, "columns": 1, "depth": 8},
    "layer_norm": {"rows": 1, "columns": 1},
    "softmax": {"rows": 1, "columns": 1},
    "route": {"rows": 1, "columns": 1, "top_k": 1},
}
"""Legal fields of each instruction on every configuration: it works on what lies at address 0."""


def fields_of(name: str) -> dict[str, Field]:
    return {field.name: field for field in BY_NAME[name].fields}


@dataclass(frozen=True)
class Limits:
    """The values that a field may have, given other fields: least to greatest in steps of `multiple`."""

    least: int
    greatest: int
    multiple: int

    def draw(self, rng: np.random.Generator, most: int | None = None) -> int:
        """A legal value, at most `most`."""
        top = self.greatest if most is None else min(self.greatest, most)
        return self.multiple * int(rng.integers(-(-self.least // self.multiple), top // self.multiple + 1))


def limits(name: str, field: str, configuration: HardwareConfiguration, fields: Fields | None = None) -> Limits:
    """What the rules that apply with these other fields leave of a field, sums aside."""
    least, greatest, multiple = 0, (1 << fields_of(name)[field].width) - 1, 1
    for rule in BY_NAME[name].rules:
        made = not rule.when or any(holds(Rule(choice), fields or {}, configuration) for choice in rule.when)
        match rule.check:
            case AtLeast(checked, bound) if made and checked == field:
                least = max(least, bound)
            case MultipleOf(checked, size) if made and checked == field:
                multiple = max(multiple, size_of(size, configuration))
            case AtMost((term,), bound) if made and term.field == field:
                greatest = min(greatest, size_of(bound, configuration))
    return Limits(least, greatest, multiple)


def may_choose(name: str, configuration: HardwareConfiguration, **fields: int) -> bool:
    """Whether the rules let these choices be made together."""
    return all(holds(r, fields, configuration) for r in BY_NAME[name].rules if isinstance(r.check, Choice))


def random_fields(name: str, configuration: HardwareConfiguration, rng: np.random.Generator) -> Fields:
    """Legal fields of an instruction and of its header, uniform before they are made legal."""
    unit = BY_NAME[name].unit
    fields = {field.name: int(rng.integers(1 << field.width)) for field in BY_NAME[name].fields}
    while (broken := next((r for r in BY_NAME[name].rules if not holds(r, fields, configuration)), None)) is not None:
        _repair(broken, name, fields, configuration, rng)
    fields["wait_mask"] = int(rng.integers(1 << 25)) & waits_of(unit)
    fields["signal_mask"] = int(rng.integers(1 << 25)) & signals_of(unit)
    fields["overlap"], fields["tag"] = int(rng.integers(2)), int(rng.integers(1 << 32))
    assert violation(name, fields, configuration) is None
    return fields


def _repair(
    rule: Rule, name: str, fields: Fields, configuration: HardwareConfiguration, rng: np.random.Generator
) -> None:
    """Let the rule hold: mostly by another value of what it checks, sometimes by not making the choice it depends on."""
    if rule.when and rng.random() < 0.3:
        for choice in rule.when:
            fields[choice.field] = 0 if choice.values == (1,) else fields[choice.field]
    match rule.check:
        case Choice(field, values):
            fields[field] = int(rng.choice(values))
        case AtLeast(field, least):
            fields[field] = int(rng.integers(least, 1 << fields_of(name)[field].width))
        case MultipleOf(field, size):
            fields[field] -= fields[field] % size_of(size, configuration)
        case AtMost(terms, greatest):
            rest = size_of(greatest, configuration)
            for term in terms:
                modulo = 1 << 32 if term.modulo is None else size_of(term.modulo, configuration)
                share = int(rng.integers(min(rest, modulo - 1) + 1))
                fields[term.field] += share - fields[term.field] % modulo
                rest -= share


@dataclass(frozen=True)
class Side:
    """Fields on one side of a limit: legal, or breaking exactly one rule."""

    name: str
    rule: Rule
    fields: Fields
    legal: bool

    def __str__(self) -> str:
        changed = {key: value for key, value in self.fields.items() if SMALLEST[self.name].get(key) != value}
        shown = " ".join(f"{key}={value}" for key, value in changed.items())
        return f"{self.name}, {'inside' if self.legal else 'outside'} of {self.rule}: {shown}"


def sides(name: str, configuration: HardwareConfiguration) -> Iterator[Side]:
    """Both sides of every limit of an instruction's fields, each condition made in turn.

    Inside of a multiple are 0 and the next multiple, outside what lies half a multiple and one beyond; fields that are not
    walked are as small as they may be.
    """
    for rule in BY_NAME[name].rules:
        for choice in rule.when or (None,):
            for made in (None,) if choice is None else choice.values:
                base = dict(SMALLEST[name])
                if choice is not None and made is not None:
                    base[choice.field] = made
                    _make_choices_legal(name, base, choice.field, configuration)
                for values in _both_sides(rule, name, base, configuration):
                    fields = {**base, **values}
                    broken = [r for r in BY_NAME[name].rules if not holds(r, fields, configuration)]
                    if not broken or broken == [rule]:
                        yield Side(name, rule, fields, not broken)


def _make_choices_legal(name: str, fields: Fields, kept: str, configuration: HardwareConfiguration) -> None:
    """Let the choices that `fields[kept]` asks for be made: a scattering product adds to the residual."""
    for rule in BY_NAME[name].rules:
        if isinstance(rule.check, Choice) and rule.check.field != kept and not holds(rule, fields, configuration):
            fields[rule.check.field] = rule.check.values[0]


def _both_sides(rule: Rule, name: str, base: Fields, configuration: HardwareConfiguration) -> Iterator[Fields]:
    match rule.check:
        case Choice(field, _):
            yield from ({field: value} for value in range(1 << fields_of(name)[field].width))
        case AtLeast(field, least):
            yield from ({field: value} for value in range(least + 1))
        case MultipleOf(field, size):
            multiple = size_of(size, configuration)
            start = base.get(field, 0)
            start -= start % multiple
            for value in {start, start + multiple, start + multiple // 2, start + 1, start + 2 * multiple - 1}:
                yield {field: value}
            # The largest value that the bits hold, and the largest multiple in them.
            most = (1 << fields_of(name)[field].width) - 1
            yield from ({field: most}, {field: most - most % multiple})
        case AtMost(terms, greatest):
            most = size_of(greatest, configuration)
            for term in terms:
                others = sum(base.get(t.field, 0) for t in terms if t is not term)
                step = 1
                for other in BY_NAME[name].rules:
                    if isinstance(other.check, MultipleOf) and other.check.field == term.field:
                        step = size_of(other.check.size, configuration)
                inside = (most - others) // step * step
                if term.modulo is not None:
                    # What is left by the division is less than the bound: the other term reaches it.
                    modulo = size_of(term.modulo, configuration)
                    other = next(t for t in terms if t is not term)
                    for skew in range(0, modulo, step):
                        yield {term.field: skew, other.field: most - skew}
                        yield {term.field: skew, other.field: most - skew + step}
                    continue
                for value in (inside, inside + step):
                    if value < 1 << fields_of(name)[term.field].width:
                        yield {term.field: value}


__all__ = ["SMALLEST", "Destination", "LoadDestination", "Side", "random_fields", "sides"]
