"""How numbers are written: thousands apart, a fixed number of decimals, a space before the unit."""

from __future__ import annotations

from collections.abc import Callable

NumberFormat = Callable[[float], str]


def count(value: float) -> str:
    """A whole number: 12,345."""
    return f"{value:,.0f}"


def difference(value: float) -> str:
    """A whole number with its sign: +12,345."""
    return f"{value:+,.0f}"


def general(value: float) -> str:
    """As many digits as it takes, at most six: 12,345 or 0.25."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def three_digits(value: float) -> str:
    """Three digits, or as many as it has before the point: 0.12, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def decimals(digits: int, unit: str = "") -> NumberFormat:
    """That many decimals: 0.123. unit: what follows, with a space if there is to be one."""
    return lambda value: f"{value:,.{digits}f}{unit}"


def signed(digits: int, unit: str = "") -> NumberFormat:
    """That many decimals and the sign: +0.12; what rounds to nothing is +0.00."""
    return lambda value: f"{round(value, digits) + 0.0:+,.{digits}f}{unit}"


def percent(digits: int = 1) -> NumberFormat:
    """A share of 0 to 1: 12.3 %."""
    return lambda value: f"{100 * value:,.{digits}f} %"


def millions(digits: int = 2, unit: str = "") -> NumberFormat:
    """Millions of it: 1.23."""
    return lambda value: f"{value / 1e6:,.{digits}f}{unit}"
