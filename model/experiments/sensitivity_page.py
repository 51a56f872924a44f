"""A measured sensitivity as tables and as a chart."""

from __future__ import annotations

import math

from moesaic.model.experiments.sensitivity_study import Loss, Sensitivity
from moesaic.pages.axes import LinearAxis
from moesaic.pages.bars import grouped_bars
from moesaic.pages.drawing import Drawing
from moesaic.pages.number_formats import decimals, signed
from moesaic.pages.palette import series_colours
from moesaic.pages.tables import Column, Table

_MEANING = {
    "alone": "Each group of layers in integers, all others in real numbers.",
    "without": "Each group of layers in real numbers, all others in integers.",
}
_ALL = "all in integers"
_DECIBELS, _METRIC, _CHANGE = decimals(1), decimals(4), signed(2)


def sensitivity_table(found: Sensitivity) -> Table:
    """All figures, by rows: the network in real numbers, the one in integers, then the groups of layers, most sensitive first."""
    columns = [Column("layers")]
    for task in found.real:
        columns += [
            Column(f"{task} SQNR dB", _DECIBELS),
            Column(f"{task} metric", _METRIC),
            Column(f"{task} change %", _CHANGE),
        ]
    rows = []
    for name, loss in [("all real", Loss(dict.fromkeys(found.real, math.inf), found.real)), *_rows(found)]:
        row: list[str | float] = [name]
        for task in found.real:
            row += [loss.signal_to_noise[task], loss.metric[task], _change(found, loss, task)]
        rows.append(row)
    return Table(columns, rows)


def narrow_sensitivity_table(found: Sensitivity) -> Table:
    """SQNR and change of the metric in one column per task, most sensitive group first; narrow enough for a terminal."""
    rows = [
        (
            name,
            *(
                f"{_DECIBELS(loss.signal_to_noise[task])}  {_CHANGE(_change(found, loss, task)):>6}"
                for task in found.real
            ),
        )
        for name, loss in _rows(found)
    ]
    note = f"SQNR in dB, change of the metric in %. {_MEANING[found.mode]}"
    return Table((Column("layers"), *(Column(task, align="right") for task in found.real)), rows, (note,))


def sensitivity_markdown(found: Sensitivity) -> str:
    """A page of Markdown: what was measured, the table of `sensitivity_table`, and a link to the chart `sensitivity.svg`."""
    lines = [
        "# Sensitivity to integers",
        "",
        f"{_MEANING[found.mode]} SQNR: the power of the real network's prediction over that of the difference, in dB.",
        "Change: of the task's metric, against the network in real numbers.",
        "",
        sensitivity_table(found).to_markdown(),
        "",
        "![SQNR of each group of layers](sensitivity.svg)",
        "",
    ]
    return "\n".join(lines)


def sensitivity_chart(found: Sensitivity) -> Drawing:
    """The SQNR of each group in dB, one bar per task, in the order of the network."""
    losses = {_ALL: found.integers, **found.groups}
    finite = [value for loss in losses.values() for value in loss.signal_to_noise.values() if math.isfinite(value)]
    top = 10 * math.ceil(max([10.0, *finite]) / 10)
    titles = {
        name: {
            task: f"{name}, {task}: {_DECIBELS(value)} dB, metric {_METRIC(loss.metric[task])}"
            for task, value in loss.signal_to_noise.items()
        }
        for name, loss in losses.items()
    }
    rows = {name: {task: loss.signal_to_noise[task] for task in found.real} for name, loss in losses.items()}
    return grouped_bars(rows, series_colours(found.real), LinearAxis(0, top, range(0, top + 1, 10)), "dB", titles)


def _rows(found: Sensitivity) -> list[tuple[str, Loss]]:
    """The whole integer network, then the groups by their lowest SQNR of any task, the most sensitive first.

    That is the lowest SQNR in mode "alone" and the highest in mode "without".
    """
    least = {name: min(loss.signal_to_noise.values()) for name, loss in found.groups.items()}
    ordered = sorted(found.groups.items(), key=lambda row: least[row[0]], reverse=found.mode == "without")
    return [(_ALL, found.integers), *ordered]


def _change(found: Sensitivity, loss: Loss, task: str) -> float:
    """Relative change of the task's metric in percent; NaN if it was 0, or infinite, as that of features is."""
    real = found.real[task]
    return (loss.metric[task] / real - 1) * 100 if real and math.isfinite(real) else math.nan
