"""What is run for coverage: parts of the RTL suite and whole frames on the tiny machine, or on the full-size one, by name."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.errors import UserError

TINY, FULL_SIZE = "tiny", "zcu104"
BOTH = (TINY, FULL_SIZE)


@dataclass(frozen=True)
class Workload:
    """A selection of tests.

    what: for people. tests: files or test ids. keyword: of pytest's -k, "" for all. machines: the configurations that it exercises;
    both, if its modules have no sizes or the same ones. without: modules that are not counted.
    """

    name: str
    what: str
    tests: tuple[str, ...]
    keyword: str = ""
    machines: tuple[str, ...] = (TINY,)
    without: tuple[str, ...] = ()


_MANY = ("moesaic_dsp48_mac", "moesaic_packed_dot")
"""The full-size array has so many that counting all would make its simulator ten times as large. They have benches of their own."""


def _unit(name: str, keyword: str = "", machines: tuple[str, ...] = BOTH) -> Workload:
    title = f"full-size {name}" if machines == (FULL_SIZE,) else f"unit {name}"
    return Workload(
        title,
        "a module in its own bench",
        (f"tests/sim/test_{name}.py",),
        keyword,
        machines,
        _MANY * (machines == (FULL_SIZE,)),
    )


def _plan_points(name: str, *tests: str) -> Workload:
    what = "what the plan asks and random programs do not do"
    return Workload(
        f"plan points, {name}", what, tuple(f"tests/sim/test_plan_points.py::test_{test}" for test in tests)
    )


_INSTRUCTIONS = "tests/sim/test_instructions.py"
_ACCELERATOR = "tests/sim/test_accelerator.py"
_RTL_TINY = "rtl-tiny"
_UNITS = (
    *(_unit(name) for name in (
        "control", "kernel_control", "fetch", "issue", "semaphores", "isqrt", "reciprocal", "requantise", "packed_dot", "exp2",
        "dsp48_mac", "round_robin",
    )),
    *(_unit(name, "tiny", (TINY,)) for name in ("load", "store", "matmul")),
    _unit("read_ports", "tiny-2", (TINY,)),
    _unit("vector", "8-4-2", (TINY,)),
    _unit("route", "8-16", (TINY,)),
    _unit("memories", "8-4-4-5 or 2-128", (TINY,)),
    _unit("gelu_table", "seed0-8 or seed1-8", (TINY,)),
    *(_unit(name, "zcu104", (FULL_SIZE,)) for name in ("load", "store", "matmul", "read_ports", "vector", "route", "memories")),
    _unit("gelu_table", "seed0-32 or seed1-32", (FULL_SIZE,)),
)  # fmt: skip

WORKLOADS = (
    _plan_points("semaphores", "a_unit_that_waits_for_itself", "semaphores_at_zero", "semaphores_at_most"),
    _plan_points("queues", "full_instruction_queues", "expert_queues", "a_product_without_rows_waits_for_the_one_before"),
    _plan_points("faults", "faults", "faults_of_fetch", "faults_of_overlapping_instructions", "after_a_reset"),
    _plan_points("conflicts", "conflicts"),
    _plan_points("any value", "registers_of_any_value", "fields_of_any_value"),
    Workload("frames, one expert", "a whole frame with one expert", ("tests/hls/test_one_expert.py",), "rtl"),
    Workload("frames, 4-bit experts", "whole frames, experts of 4 and 8 bits, fixed timing", ("tests/system/test_expert_bits.py",), "52"),
    Workload("random programs", "all units at once", (f"{_ACCELERATOR}::test_random_program",)),
    Workload(
        "bus errors", "every kind of error on the bus",
        (f"{_ACCELERATOR}::test_bus_errors", f"{_ACCELERATOR}::test_windows_are_not_left"),
    ),
    Workload("timeouts", "timeouts at random moments", (f"{_ACCELERATOR}::test_stopped_at_any_moment",)),
    Workload("stops", "stops at random moments", (f"{_ACCELERATOR}::test_stopped_by_the_host_at_any_moment",)),
    Workload("limits", "both sides of every limit of every field", (f"{_INSTRUCTIONS}::test_both_sides_of_every_limit",), _RTL_TINY),
    Workload("faults", "every fault that a program can be the cause of", (f"{_INSTRUCTIONS}::test_fault",), _RTL_TINY),
    Workload("instructions", "random fields and operands of each instruction", (f"{_INSTRUCTIONS}::test_instruction",), _RTL_TINY),
    Workload(
        "other instructions", "shared memory, degenerate routes, overlapping units, shifts, no rows",
        tuple(f"{_INSTRUCTIONS}::test_{name}" for name in (
            "units_that_run_at_once", "shared_memory", "degenerate_routing", "every_shift_of_a_parameter",
            "one_of_several_faults_is_named", "no_rows_leave_no_memory", "a_timeout_names_who_waits_for_whom",
        )), _RTL_TINY,
    ),
    *_UNITS,
    Workload(
        "full-size programs", "all units at once on the zcu104 machine",
        (f"{_ACCELERATOR}::test_other_sizes",), "zcu104", (FULL_SIZE,), _MANY,
    ),
    Workload(
        "full-size values", "registers and fields of any value on the zcu104 machine",
        tuple(f"tests/system/test_full_size.py::test_{name}_of_any_value" for name in ("registers", "fields")), "", (FULL_SIZE,), _MANY,
    ),
    Workload(
        "full-size frames", "blocks of a network on the zcu104 machine",
        ("tests/system/test_full_size.py",), "", (FULL_SIZE,), _MANY,
    ),
)  # fmt: skip


def chosen(names: list[str], machine: str = TINY) -> list[Workload]:
    """The workloads of these names, or all of a machine. UserError for an unknown name."""
    by_name = {workload.name: workload for workload in WORKLOADS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UserError(f"unknown workload {', '.join(unknown)}; known: {', '.join(by_name)}")
    return [by_name[name] for name in names] or [workload for workload in WORKLOADS if machine in workload.machines]
