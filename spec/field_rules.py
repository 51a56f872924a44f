"""The rules that an instruction's fields obey, as data: stated in moesaic.spec.isa's table, interpreted by every reader of it.

A rule is a check that must hold whenever one of its conditions does. Bounds are sizes of a configuration, kept symbolic so that
Python can evaluate them (moesaic.spec.legality), the manual can print them, and SystemVerilog and C++ get them as expressions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_LETTERS = {"tile_rows": "R", "tile_columns": "C", "tile_depth": "L"}


@dataclass(frozen=True)
class Size:
    """factor * (product of the configuration's fields in `names`) + offset."""

    factor: int
    names: tuple[str, ...] = ()
    offset: int = 0

    def __mul__(self, other: Size) -> Size:
        return Size(self.factor * other.factor, self.names + other.names)

    def __rmul__(self, factor: int) -> Size:
        return Size(factor * self.factor, self.names)

    def __sub__(self, offset: int) -> Size:
        return Size(self.factor, self.names, self.offset - offset)

    def product(self, values: Iterable[object]) -> str:
        """The expression with `values`, or names of values, in place of the configuration's fields."""
        parts = [str(value) for value in values]
        if self.factor != 1 or not parts:
            parts.insert(0, str(self.factor))
        text = " * ".join(parts)
        return f"{text} - {-self.offset}" if self.offset else text

    def __str__(self) -> str:
        """As the manual prints it: 2 * C."""
        if not self.names:
            return f"{self.factor + self.offset:,}"
        return self.product(_LETTERS.get(name, name) for name in self.names)


@dataclass(frozen=True)
class Choice:
    """The field has one of these values. labels: what the manual calls the values; empty for a flag, whose one value is 1."""

    field: str
    values: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.field} is {' or '.join(self.labels)}" if self.labels else self.field


@dataclass(frozen=True)
class AtLeast:
    """field >= least."""

    field: str
    least: int

    def __str__(self) -> str:
        return f"{self.field} is at least {self.least}"


@dataclass(frozen=True)
class Term:
    """A field, or its remainder modulo `modulo`, a power of two."""

    field: str
    modulo: Size | None = None

    def __str__(self) -> str:
        return self.field if self.modulo is None else f"{self.field} % ({self.modulo})"


@dataclass(frozen=True)
class AtMost:
    """The sum of the terms is <= greatest."""

    terms: tuple[Term, ...]
    greatest: Size

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.terms))} is at most {self.greatest}"


@dataclass(frozen=True)
class MultipleOf:
    """field % size == 0, for a size that is a power of two in every configuration."""

    field: str
    size: Size

    def __str__(self) -> str:
        return f"{self.field} is a multiple of {self.size}"


Check = AtLeast | AtMost | MultipleOf | Choice


def checked_fields(check: Check) -> tuple[str, ...]:
    """Names of the fields that a check looks at."""
    return tuple(term.field for term in check.terms) if isinstance(check, AtMost) else (check.field,)


@dataclass(frozen=True)
class Rule:
    """`check` must hold whenever one of the choices in `when` is made; always, if `when` is empty."""

    check: Check
    when: tuple[Choice, ...] = ()

    def __str__(self) -> str:
        """A clause of the manual: d_address is a multiple of C if destination is int8."""
        return f"{self.check} if {' or '.join(map(str, self.when))}" if self.when else str(self.check)
