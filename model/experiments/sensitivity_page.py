"""A sensitivity as a table and as a chart."""

import math
from html import escape

from rich import box
from rich.table import Table

from moesaic.model.experiments.sensitivity_study import Loss, Sensitivity

_PALETTE = ("#2f6fdd", "#d97706", "#15803d", "#b91c1c", "#7c3aed", "#0891b2")
_WIDTH, _LEFT, _RIGHT, _TOP = 760, 170, 70, 44
_BAR, _GAP = 9, 8
_STYLE = "svg{font:11px system-ui,sans-serif}text{fill:#1c2330}.grid{stroke:#dfe4ec}.frame{fill:#ffffff}"
_MEANING = {
    "alone": "Each group of layers in integers, all others in real numbers.",
    "without": "Each group of layers in real numbers, all others in integers.",
}


def _rows(found: Sensitivity) -> list[tuple[str, Loss]]:
    """Most sensitive first: the least signal to noise of any task alone, the most without."""
    least = {name: min(loss.signal_to_noise.values()) for name, loss in found.groups.items()}
    ordered = sorted(found.groups.items(), key=lambda row: least[row[0]], reverse=found.mode == "without")
    return [("all in integers", found.integers), *ordered]


def _cells(found: Sensitivity, loss: Loss) -> list[str]:
    cells = []
    for task in found.real:
        cells += [f"{loss.signal_to_noise[task]:.1f}", f"{loss.metric[task]:.4f}", f"{_change(found, loss, task):+.2f}"]
    return cells


def _change(found: Sensitivity, loss: Loss, task: str) -> float:
    """Of the metric, in percent."""
    real = found.real[task]
    return (loss.metric[task] / real - 1) * 100 if real else math.nan


def _header(found: Sensitivity) -> list[str]:
    parts = ("SQNR dB", "metric", "change %")
    return ["layers", *(f"{task} {part}" for task in found.real for part in parts)]


def rich_table(found: Sensitivity) -> Table:
    """For the terminal, most sensitive first; narrow, so without the metrics themselves."""
    table = Table(title=f"SQNR in dB, change of the metric in %. {_MEANING[found.mode]}", box=box.SIMPLE_HEAD)
    table.add_column("layers", no_wrap=True)
    for task in found.real:
        table.add_column(task, justify="right")
    for name, loss in _rows(found):
        sqnr = loss.signal_to_noise
        table.add_row(name, *(f"{sqnr[task]:.1f}  {_change(found, loss, task):+6.2f}" for task in found.real))
    return table


def markdown(found: Sensitivity) -> str:
    """A section of Markdown: what was measured, the table, most sensitive first, and the chart `sensitivity.svg`."""
    header = _header(found)
    lines = [
        "# Sensitivity to integers",
        "",
        f"{_MEANING[found.mode]} SQNR: the power of the real network's prediction over that of the difference, in dB.",
        "Change: of the task's metric, against the network in real numbers.",
        "",
        f"| {' | '.join(header)} |",
        f"|---|{'---:|' * (len(header) - 1)}",
    ]
    rows = [("all real", Loss(dict.fromkeys(found.real, math.inf), found.real)), *_rows(found)]
    lines += [f"| {' | '.join([name, *_cells(found, loss)])} |" for name, loss in rows]
    return "\n".join([*lines, "", "![SQNR of each group of layers](sensitivity.svg)", ""])


def chart(found: Sensitivity) -> str:
    """An SVG document: the SQNR of each group as bars, one a task, in the order of the network."""
    rows, tasks = [("all in integers", found.integers), *found.groups.items()], list(found.real)
    finite = [v for _, loss in rows for v in loss.signal_to_noise.values() if math.isfinite(v)]
    top = 10 * math.ceil(max([10.0, *finite]) / 10)
    step = _BAR * len(tasks) + _GAP
    height, room = _TOP + step * len(rows) + 24, _WIDTH - _LEFT - _RIGHT
    parts = [f"<style>{_STYLE}</style>", f'<rect class="frame" width="{_WIDTH}" height="{height}"/>']
    for n, task in enumerate(tasks):
        x = _LEFT + 110 * n
        parts.append(f'<rect x="{x}" y="8" width="11" height="11" fill="{_PALETTE[n % len(_PALETTE)]}"/>')
        parts.append(f'<text x="{x + 16}" y="18">{escape(task)}</text>')
    for mark in range(0, top + 1, 10):
        x = _LEFT + room * mark / top
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height - 24}"/>')
        parts.append(f'<text text-anchor="middle" x="{x:.1f}" y="{height - 8}">{mark} dB</text>')
    for index, (name, loss) in enumerate(rows):
        y = _TOP + step * index
        parts.append(f'<text x="8" y="{y + (step - _GAP) / 2 + 4:.1f}">{escape(name)}</text>')
        for n, task in enumerate(tasks):
            value = loss.signal_to_noise[task]
            width = room * min(max(value, 0.0), top) / top
            label = f"{escape(name)}, {escape(task)}: {value:.1f} dB, metric {loss.metric[task]:.4f}"
            parts.append(
                f'<rect x="{_LEFT}" y="{y + _BAR * n}" width="{width:.1f}" height="{_BAR - 1}"'
                f' fill="{_PALETTE[n % len(_PALETTE)]}"><title>{label}</title></rect>'
            )
            parts.append(f'<text x="{_LEFT + width + 4:.1f}" y="{y + _BAR * n + 8}" font-size="8">{value:.1f}</text>')
    box = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">{"".join(parts)}</svg>'
