"""Every colour of the pages and charts, for light and dark screens."""

from __future__ import annotations

from collections.abc import Iterable

SERIES = (
    "#2f6fdd", "#d97706", "#15803d", "#dc2626", "#8b5cf6", "#0891b2", "#db2777", "#65a30d", "#a16207", "#c026d3", "#059669",
    "#c2410c", "#6366f1", "#0d9488", "#ef4444", "#0284c7",
)  # fmt: skip
"""Colours for what a chart compares: tasks, models, causes. Each has a contrast of at least 3:1 to light and to dark paper."""
REFERENCE = "#64748b"
"""Colour of what the series are compared with: limits, the whole network, other people's figures."""

LIGHT = {
    "ink": "#1c2330",
    "soft": "#5b6577",
    "line": "#dfe4ec",
    "paper": "#ffffff",
    "ground": "#f5f7fa",
    "good": "#15803d",
    "bad": "#b91c1c",
    "heat": "47, 111, 221",
    "heat-ink": "#1c2330",
}
DARK = {
    "ink": "#e6eaf2",
    "soft": "#9aa5b8",
    "line": "#2c3443",
    "paper": "#171c26",
    "ground": "#10141c",
    "good": "#4ade80",
    "bad": "#f87171",
    "heat": "110, 160, 255",
    "heat-ink": "#10141c",
}
_STRONGEST_HEAT = 0.85


def series_colours(names: Iterable[str]) -> dict[str, str]:
    """A CSS colour for each name, in order; after the last colour they start again from the first."""
    return {name: SERIES[index % len(SERIES)] for index, name in enumerate(names)}


def heat(value: float) -> str:
    """A value's colour on the sequential scale of heat maps, in CSS. value: 0 (paper) to 1 (strongest)."""
    return f"rgba(var(--heat), {value * _STRONGEST_HEAT:.3f})"


def variables() -> str:
    """The CSS that defines the named colours (`var(--ink)` and so on) for light and dark screens."""
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in mode.items()) for mode in (LIGHT, DARK))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
