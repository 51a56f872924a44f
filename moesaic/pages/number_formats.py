"""How numbers are written: with thousands separators, a fixed number of decimals and a space before the unit."""

from __future__ import annotations

from collections.abc import Callable

NumberFormat = Callable[[float], str]
"""Turns a number into text."""


def count(value: float) -> str:
    """A whole number: 12,345."""
    return f"{value:,.0f}"


def difference(value: float) -> str:
    """A whole number with its sign: +12,345."""
    return f"{value:+,.0f}"


def general(value: float) -> str:
    """As many digits as needed, at most six for fractions: 12,345 or 0.25."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def three_digits(value: float) -> str:
    """Three digits, or all that stand before the point: 0.12, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def decimals(digits: int, unit: str = "") -> NumberFormat:
    """A fixed number of decimals: 0.123. unit: appended as it is, so it brings its own space."""
    return lambda value: f"{value:,.{digits}f}{unit}"


def signed(digits: int, unit: str = "") -> NumberFormat:
    """A fixed number of decimals and a sign: +0.12; a value that rounds to zero is +0.00."""
    return lambda value: f"{round(value, digits) + 0.0:+,.{digits}f}{unit}"


def percent(digits: int = 1) -> NumberFormat:
    """A share, 0 to 1, in percent: 12.3 %."""
    return lambda value: f"{100 * value:,.{digits}f} %"


def millions(digits: int = 2, unit: str = "") -> NumberFormat:
    """A number in millions: 1.23 for 1,230,000. unit: appended as it is."""
    return lambda value: f"{value / 1e6:,.{digits}f}{unit}"
