"""The tables of a report, as shown on its page and in the terminal.

The argument `report` is what `moesaic.sim.measurements.road.figures.figures` returns.
"""

from __future__ import annotations

from moesaic.pages.number_formats import count, decimals, percent
from moesaic.pages.tables import Cell, Column, Table
from moesaic.sim.measurements.road.figures import disagreements

EXECUTORS = {
    "reference": "reference machine: what every instruction means, in numpy",
    "emulator": "emulator: the accelerator's C++ under g++",
    "rtl": "RTL simulation: the accelerator's SystemVerilog under Verilator, with a DRAM model",
}
"""Executors, each with a description."""


def cycles_table(report: dict) -> Table | None:
    """The cost of a frame of each task in RTL simulation; None if no task was simulated."""
    columns = (
        Column("task"), Column("cycles per frame", count),
        Column(f"ms at {report['assumed_clock_hz'] / 1e6:.0f} MHz (assumed)", decimals(3)), Column("MACs per frame", count),
        Column("utilisation", percent()), Column("array multiplying", percent()), Column("DRAM bytes read", count),
        Column("DRAM bytes written", count),
    )  # fmt: skip
    rows = [
        (
            name, task["rtl"]["cycles"], task["rtl"]["milliseconds_at_assumed_clock"], task["macs_per_frame"],
            task["rtl"]["utilisation"], task["rtl"]["array_busy"], task["rtl"]["read_bytes"], task["rtl"]["write_bytes"],
        )
        for name, task in report["tasks"].items()
        if task["rtl"]
    ]  # fmt: skip
    return Table(columns, rows) if rows else None


def agreement_table(report: dict) -> Table:
    """Every executor compared with the reference machine, byte by byte."""
    columns = (
        Column("executor"), Column("what it is"), Column("frames", count), Column("bytes compared", count),
        Column("bytes that differ", count), Column("time to simulate", decimals(1, " s")),
    )  # fmt: skip
    rows = [
        (
            name, EXECUTORS.get(name, ""), values["frames"], values.get("compared_bytes"), _differing(values.get("mismatched_bytes")),
            values["simulation_seconds"],
        )
        for name, values in report["executors"].items()
    ]  # fmt: skip
    return Table(columns, rows)


def integer_network_table(report: dict) -> Table:
    """The integer network compared with the reference machine, element by element."""
    integer = report["integer_network"]
    rows = [
        (
            "integer network against reference machine, task outputs",
            integer["outputs_compared"],
            _differing(integer["mismatched_outputs"]),
        )
    ]
    layers = integer["mismatched_elements_per_layer"]
    if layers:
        wrong = sum(sum(task.values()) for task in layers.values())
        rows.append(("the same, layers of every task", integer["layers_compared"], _differing(wrong)))
    return Table((Column("chain"), Column("compared", count), Column("differ", count)), rows)


def proof_table(report: dict) -> Table:
    """What the run proves and what it does not."""
    simulated, differences = "rtl" in report["executors"], disagreements(report)
    exact = "yes, bit for bit" if simulated else "on the executors above, not on RTL"
    rows = [
        (
            "the integers of every task",
            f"no: {'; '.join(differences)}" if differences else exact,
            "equality of memory",
        ),
        (
            "cycles, utilisation, DRAM traffic",
            "measured in RTL simulation" if simulated else "no",
            "with a DRAM model, not a board's DRAM",
        ),
        ("accuracy in integers", "measured", "on rendered scenes; photographs here have no ground truth"),
        ("clock frequency", "no", "an assumption until place and route has met timing"),
        ("fit in the device", "no", "the resource figures are an estimate before place and route"),
        ("power", "no", "needs a board"),
    ]
    return Table((Column("statement"), Column("shown here"), Column("remark")), rows)


def _differing(mismatches: int | None) -> Cell | str:
    if mismatches is None:
        return "the others are compared with this"
    return Cell(mismatches, "bad" if mismatches else "good")
