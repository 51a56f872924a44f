"""The figures of a benchmark that matter most, as tables in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

MEGA = 1e6


def show(document: dict, console: Console) -> None:
    """Print them. document: the content of bench.json."""
    if document["frames"]:
        table = Table(
            "model", "input", "cycles", "limit", "ratio", "asked", "MAC use", "GOPS/DSP", "differing bytes",
            title="encoder, measured in RTL simulation",
        )  # fmt: skip
        for entry in document["frames"]:
            asked = entry["asked"]
            table.add_row(
                entry["model"], entry["input"], f"{entry['cycles']:,}", f"{entry['limit']:,}", f"{entry['ratio']:.3f}",
                "–" if asked is None else f"{asked:,} {'met' if entry['cycles'] <= asked else 'missed'}",
                f"{100 * entry['mac_utilisation']:.1f} %", f"{entry['gops_per_dsp']:.2f}", f"{entry['mismatched_bytes']:,}",
            )  # fmt: skip
        console.print(table)
    for part in ("ablation", "scaling"):
        if document[part]:
            table = Table("model", part, "cycles", "ratio to limit", "DRAM MB")
            for entry in document[part]:
                table.add_row(
                    entry["model"], entry["label"], f"{entry['cycles']:,}", f"{entry['ratio']:.3f}",
                    f"{entry['dram_bytes'] / MEGA:.1f}",
                )  # fmt: skip
            console.print(table)
