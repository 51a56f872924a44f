"""The figures of a benchmark that matter most, as tables in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from moesaic.sim.measurements.benchmark.session import wrong_bytes

MEGA = 1e6


def show(document: dict, console: Console) -> None:
    """Print them. document: the content of bench.json."""
    if document["frames"]:
        table = _table(
            "encoder, measured in RTL simulation", ("frame",), "cycles", "limit", "ratio", "asked", "MAC\nuse", "GOPS/\nDSP",
            "bytes\nwrong",
        )  # fmt: skip
        for entry in document["frames"]:
            asked = entry["asked"]
            table.add_row(
                f"{entry['model']} {entry['input']}", f"{entry['cycles']:,}", _millions(entry["limit"]), f"{entry['ratio']:.2f}",
                "–" if asked is None else f"{_millions(asked)}{'' if entry['cycles'] <= asked else ' missed'}",
                f"{100 * entry['mac_utilisation']:.1f} %", f"{entry['gops_per_dsp']:.2f}", f"{wrong_bytes(entry):,}",
            )  # fmt: skip
        console.print(table)
    for part in ("ablation", "scaling"):
        if document[part]:
            table = _table(None, ("model", part), "cycles", "ratio to limit", "DRAM MB")
            for entry in document[part]:
                table.add_row(
                    entry["model"], entry["label"], f"{entry['cycles']:,}", f"{entry['ratio']:.3f}",
                    f"{entry['dram_bytes'] / MEGA:.1f}",
                )  # fmt: skip
            console.print(table)


def _millions(cycles: int) -> str:
    return f"{cycles / MEGA:.2f} M"


def _table(title: str | None, names: tuple[str, ...], *figures: str) -> Table:
    """Fits 80 columns."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table
