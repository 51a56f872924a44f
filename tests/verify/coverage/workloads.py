"""What is run for coverage: parts of the RTL suite and whole tiny frames, by name."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.errors import UserError


@dataclass(frozen=True)
class Workload:
    """A selection of tests.

    what: for people. tests: files or test ids. keyword: of pytest's -k, "" for all. full_size: the zcu104 machine.
    """

    name: str
    what: str
    tests: tuple[str, ...]
    keyword: str = ""
    full_size: bool = False


_INSTRUCTIONS = "tests/sim/test_instructions.py"
_ACCELERATOR = "tests/sim/test_accelerator.py"
_TINY = "rtl-tiny"
_UNITS = (
    "control", "kernel_control", "fetch", "issue", "semaphores", "load", "store", "matmul", "vector", "route", "memories", "gelu_table",
    "isqrt", "reciprocal", "requantise", "packed_dot", "exp2", "dsp48_mac", "round_robin", "read_ports",
)  # fmt: skip

WORKLOADS = (
    Workload("plan points", "what the plan asks and random programs do not do", ("tests/sim/test_plan_points.py",)),
    Workload("frames, one expert", "a whole frame with one expert", ("tests/hls/test_one_expert.py",), "rtl"),
    Workload("frames, 4-bit experts", "whole frames, experts of 4 and of 8 bits", ("tests/system/test_expert_bits.py",), "rtl"),
    Workload("random programs", "all units at once", (f"{_ACCELERATOR}::test_random_program",)),
    Workload(
        "bus errors", "every kind of error on the bus",
        (f"{_ACCELERATOR}::test_bus_errors", f"{_ACCELERATOR}::test_windows_are_not_left"),
    ),
    Workload(
        "stops", "timeouts and stops at random moments",
        (f"{_ACCELERATOR}::test_stopped_at_any_moment", f"{_ACCELERATOR}::test_stopped_by_the_host_at_any_moment"),
    ),
    Workload("limits", "both sides of every limit of every field", (f"{_INSTRUCTIONS}::test_both_sides_of_every_limit",), _TINY),
    Workload("faults", "every fault that a program can be the cause of", (f"{_INSTRUCTIONS}::test_fault",), _TINY),
    Workload("instructions", "random fields and operands of each instruction", (f"{_INSTRUCTIONS}::test_instruction",), _TINY),
    Workload(
        "other instructions", "shared memory, degenerate routes, overlapping units, shifts",
        (_INSTRUCTIONS,), f"{_TINY} and not test_instruction and not test_both_sides and not test_fault",
    ),
    *(Workload(f"unit {name}", "a module in its own bench", (f"tests/sim/test_{name}.py",), "not zcu104") for name in _UNITS),
    Workload("full-size frames", "whole frames on the zcu104 machine", ("tests/system/test_full_size.py",), full_size=True),
)  # fmt: skip


def chosen(names: list[str], full_size: bool) -> list[Workload]:
    """The workloads of these names, or all of the tiny or of the full-size machine. UserError for an unknown name."""
    by_name = {workload.name: workload for workload in WORKLOADS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UserError(f"unknown workload {', '.join(unknown)}; known: {', '.join(by_name)}")
    return [by_name[name] for name in names] or [w for w in WORKLOADS if w.full_size == full_size]
