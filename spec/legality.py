"""Whether an instruction is legal on a configuration, by the rules in moesaic.spec.isa. No machine executes an illegal one.

Fetch refuses it with BAD_INSTRUCTION when it reaches it, before any unit sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.field_rules import AtLeast, AtMost, Check, Choice, MultipleOf, Rule, Size, checked_fields
from moesaic.spec.isa import BY_NAME, END, SEMAPHORES, Unit, pack, signals_of, waits_of

Fields = dict[str, int]
"""Field name to value; a field left out is 0."""


def size_of(size: Size, configuration: HardwareConfiguration) -> int:
    """The value of a symbolic size in a configuration."""
    return size.factor * prod(getattr(configuration, name) for name in size.names) + size.offset


def holds(rule: Rule, fields: Fields, configuration: HardwareConfiguration) -> bool:
    """Whether the fields obey one rule."""
    return _predicate(rule, configuration)(fields)


def violation(name: str, fields: Fields, configuration: HardwareConfiguration) -> str | None:
    """What is wrong with an instruction, naming field, value and rule; None if it is legal.

    name: of an instruction. fields: its own and those of the header, as decode() gives them.
    """
    if name == END.name:
        return None
    unit = BY_NAME[name].unit
    for mask, allowed, verb in (("wait_mask", waits_of(unit), "wait for"), ("signal_mask", signals_of(unit), "signal")):
        foreign = fields.get(mask, 0) & ~allowed
        if foreign:
            return f"{name}.{mask} = {fields[mask]:#x}: {_semaphore_names(foreign)} is not for the {unit.name.lower()} unit to {verb}"
    for rule, predicate in _predicates(name, configuration):
        if not predicate(fields):
            values = ", ".join(f"{field} = {fields.get(field, 0)}" for field in checked_fields(rule.check))
            bound = _bound(rule.check)
            value = f", where {bound} = {size_of(bound, configuration)}" if bound is not None and bound.names else ""
            return f"{name}: {values}; on configuration {configuration.name} {rule}{value}"
    return None


def encode(name: str, configuration: HardwareConfiguration, **values: int) -> bytes:
    """The 64 bytes of one instruction; fields left out are 0.

    KeyError for an unknown instruction. ValueError, naming field, value and rule, for an unknown field and for anything that no
    machine of the configuration executes.
    """
    code = pack(name, **values)
    wrong = violation(name, values, configuration)
    if wrong is not None:
        raise ValueError(wrong)
    return code


@cache
def _predicates(name: str, configuration: HardwareConfiguration) -> tuple[tuple[Rule, Callable[[Fields], bool]], ...]:
    return tuple((rule, _predicate(rule, configuration)) for rule in BY_NAME[name].rules)


def _predicate(rule: Rule, configuration: HardwareConfiguration) -> Callable[[Fields], bool]:
    check = _check(rule.check, configuration)
    if not rule.when:
        return check
    choices = [_check(choice, configuration) for choice in rule.when]
    return lambda f: check(f) or not any(made(f) for made in choices)


def _check(check: Check, configuration: HardwareConfiguration) -> Callable[[Fields], bool]:
    match check:
        case Choice(field, values):
            return lambda f: f.get(field, 0) in values
        case AtLeast(field, least):
            return lambda f: f.get(field, 0) >= least
        case MultipleOf(field, size):
            multiple = size_of(size, configuration)
            return lambda f: f.get(field, 0) % multiple == 0
        case AtMost(terms, greatest):
            parts = [(t.field, None if t.modulo is None else size_of(t.modulo, configuration)) for t in terms]
            most = size_of(greatest, configuration)
            return lambda f: sum(f.get(n, 0) if m is None else f.get(n, 0) % m for n, m in parts) <= most


def _bound(check: Check) -> Size | None:
    match check:
        case AtMost(_, greatest):
            return greatest
        case MultipleOf(_, size):
            return size
    return None


def _semaphore_names(mask: int) -> str:
    """The semaphores of a mask, each named by its pair of units."""
    numbers = [number for number in range(SEMAPHORES) if mask >> number & 1]
    names = [f"{Unit(n // len(Unit)).name.lower()} to {Unit(n % len(Unit)).name.lower()}" for n in numbers]
    return f"semaphore {', '.join(names)}"
