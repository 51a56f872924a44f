"""The constants of the cycle model: what the formulas of moesaic.hls.compiler.cycle_model cannot derive from a configuration.

`moesaic fit-cycles` measures each one on the simulated RTL with programs that isolate it, and shows the measured values beside these.
They are such values, of small configurations and of zcu104.
"""

from __future__ import annotations

from dataclasses import dataclass, field


def _constant(value: float, unit: str, meaning: str) -> float:
    return field(default=value, metadata={"unit": unit, "meaning": meaning})


@dataclass(frozen=True)
class CycleConstants:
    """Each field's metadata holds its unit and its meaning in words. None of the constants includes the DRAM latency."""

    fetch_start: float = _constant(
        3, "cycles", "from start to the first instruction's hand-over, beside a DRAM latency"
    )
    hand_over: float = _constant(2, "cycles", "from the hand-over of an instruction until its unit can take it")
    signal: float = _constant(1, "cycles", "from a completion until a unit that waits for it can take its instruction")
    turnaround: float = _constant(
        1, "cycles", "from a unit's completion, or from its taking one, to its taking the next"
    )
    run_end: float = _constant(3, "cycles", "from the last completion to the end of the run")

    product_start: float = _constant(
        14, "cycles", "from the taking of a product to its first step, beside its rows' ports"
    )
    product_gather: float = _constant(1, "cycles", "the same, in addition where rows are gathered from a queue")
    product_end: float = _constant(
        15, "cycles", "from the last step of a product to its completion, beside the cascade and its last tile's drain"
    )
    product_scatter: float = _constant(
        -1, "cycles", "the same, in addition where rows are scattered to a queue's tokens"
    )
    product_keys: float = _constant(-3, "cycles", "the same, in addition where the result is keys")
    product_empty: float = _constant(4, "cycles", "of a product whose queue has no tokens")
    product_spacing: float = _constant(2, "cycles", "least between the completions of two products")

    load_share: float = _constant(0.985, "ratio", "of the rate of all DRAM ports that loads reach")
    load_start: float = _constant(6, "cycles", "from the taking of a load to its first data, beside a DRAM latency")
    load_spacing: float = _constant(6, "cycles", "from the last data of a load to the first of the next")
    load_end: float = _constant(8, "cycles", "from the last data of a load to its completion")
    load_table_beat: float = _constant(4, "cycles", "of 16 bytes that a load writes to a table")
    load_skipped: float = _constant(3, "cycles", "of a load whose queue is empty, before load_end")
    load_skipped_spacing: float = _constant(
        1, "cycles", "least from a completion to a load's whose queue is empty, before load_end"
    )
    load_act_word: float = _constant(2, "cycles", "of a word that a load writes to the activation memory")
    store_overhead: float = _constant(24, "cycles", "of a store beside its data, and beside a DRAM latency")
    burst: float = _constant(
        8, "cycles", "of a burst beside a DRAM latency, for which its port has one burst less under way"
    )

    softmax_overhead: float = _constant(22, "cycles", "of a softmax beside its rows")
    norm_row_latency: float = _constant(
        38, "cycles", "a row takes in addition to its two sweeps, with four rows in flight"
    )
    norm_overhead: float = _constant(53, "cycles", "of a layer norm beside its rows")
    route_row: float = _constant(7.3, "cycles", "least per token of a route")
    route_column: float = _constant(1.5, "cycles/expert", "of a route beside its tokens")
    route_overhead: float = _constant(22, "cycles", "of a route beside its tokens and experts")
