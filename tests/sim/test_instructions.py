"""Every instruction on every executor: random programs, and the whole memory image compared with the reference machine.

The reference machine runs against itself with other contents of its memories at power-up: that a case does not depend
on them is what makes its comparison with the other executors fair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pytest

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.spec.arithmetic import reciprocal
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.executor import Executor, MachineFault, Memory, Program
from moesaic.spec.isa import PARAMETER_ENTRY, Destination, Fault, Unit, pack, semaphore
from moesaic.spec.legality import encode
from moesaic.spec.machine import ReferenceMachine
from tests.sim.faults import HUGE, RUN, faults, matmul
from tests.sim.instruction_cases import (
    DEGENERATE_ROUTES,
    SCENARIOS,
    Case,
    attention,
    degenerate_route,
    equal_scores,
    into_act,
    overlapped,
    random_product,
)
from tests.spec.legal_fields import SMALLEST, sides
from tests.verify.fuzz.possible_faults import possible_faults

MAX_CYCLES = 5_000_000
TINY = load_configuration("tiny")
CONFIGURATIONS = {
    "tiny": TINY,
    "odd": replace(
        TINY,
        name="odd",
        tile_rows=3,
        act_ports=1,
        tile_columns=16,
        tile_depth=8,
        norm_lanes=2,
        act_banks=2,
        shared_bytes=0,
        experts=4,
    ),
    "zcu104": load_configuration("zcu104"),
}


@dataclass(frozen=True)
class Machine:
    """An executor to test: what it is, of which configuration, with how many random cases per scenario."""

    kind: str
    configuration: str
    cases: int
    random_dram: int | None = None

    def start(self, power_up: int) -> Executor:
        configuration = CONFIGURATIONS[self.configuration]
        if self.kind == "reference":
            return ReferenceMachine(configuration, seed=power_up)
        if self.kind == "csim":
            return CsimExecutor(configuration, seed=power_up)
        from moesaic.sim.machines.rtl_executor import RtlExecutor

        return RtlExecutor(RTL, configuration, random_seed=self.random_dram, power_up_seed=power_up)


MACHINES = {
    "reference": Machine("reference", "tiny", 3),
    "csim-tiny": Machine("csim", "tiny", 12),
    "csim-odd": Machine("csim", "odd", 12),
    "csim-zcu104": Machine("csim", "zcu104", 6),
    "rtl-tiny": Machine("rtl", "tiny", 4),
    "rtl-tiny-random": Machine("rtl", "tiny", 4, random_dram=1),
    "rtl-odd-random": Machine("rtl", "odd", 4, random_dram=2),
}


class Started:
    """The machines that run now, one of each name: what a run leaves behind must not harm the next."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._machines: dict[str, tuple[int, Executor]] = {}

    def __call__(self, name: str, power_up: int) -> Executor:
        """The machine of that name, powered up anew if it holds what another seed gave it."""
        seed, executor = self._machines.get(name, (None, None))
        if executor is not None and seed == power_up:
            return executor
        if executor is not None:
            executor.close()
        executor = MACHINES[name].start(power_up)
        self._stack.callback(executor.close)
        self._machines[name] = power_up, executor
        return executor


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    with ExitStack() as stack:
        yield Started(stack)


def powered(power_up: int, *names: str) -> list:
    """(name, seed of its power-up) of every machine, or of these."""
    return [pytest.param(name, power_up, id=f"{name}-power{power_up}") for name in names or MACHINES]


def check(executor: Executor, configuration: HardwareConfiguration, program: Program, memory: Memory) -> None:
    """Run on the executor and on the reference machine; compare windows and counters."""
    expected = Memory(memory.constants.copy(), memory.frame.copy())
    expected_counters = ReferenceMachine(configuration).run(program, expected, MAX_CYCLES)
    assert not np.array_equal(expected.frame, memory.frame), "a case that changes nothing shows nothing"
    constants = memory.constants.copy()
    counters = executor.run(program, memory, MAX_CYCLES)
    wrong = np.flatnonzero(memory.frame != expected.frame)
    assert wrong.size == 0, f"{wrong.size} bytes of the frame differ, the first at {wrong[0]}, the last at {wrong[-1]}"
    assert np.array_equal(memory.constants, constants)
    # Hardware fetches beyond `end`, so its read_beats may be more.
    clocked = "cycles" in counters
    for name in ("instructions", "matmul_array", "write_beats") if clocked else expected_counters:
        assert counters[name] == expected_counters[name], name
    if clocked:
        assert counters["read_beats"] >= expected_counters["read_beats"]


def runs(most: int) -> list:
    """(name of a machine, seed of its power-up and of the case) of every random case, at most that many for each machine."""
    return [
        pytest.param(name, 1000 * number + index, id=f"{name}-seed{1000 * number + index}")
        for number, (name, machine) in enumerate(MACHINES.items())
        for index in range(min(machine.cases, most))
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(("machine", "seed"), runs(most=12))
def test_instruction(started, machine, seed, scenario):
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    case = Case(configuration, np.random.default_rng([seed, *scenario.encode()]))
    SCENARIOS[scenario](case)
    check(started(machine, seed), configuration, *case.finish())


@pytest.mark.parametrize(("machine", "seed"), runs(most=3))
def test_units_that_run_at_once(started, machine, seed):
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    check(started(machine, seed), configuration, *overlapped(Case(configuration, np.random.default_rng(seed))))


@pytest.mark.parametrize("scenario", ["matmul_to_act", "matmul_to_weight", "attention"])
@pytest.mark.parametrize("below", [0, 1024], ids=["within", "across"])
@pytest.mark.parametrize(
    ("machine", "power_up"),
    powered(21, *(name for name, m in MACHINES.items() if CONFIGURATIONS[m.configuration].shared_bytes)),
)
def test_shared_memory(started, machine, power_up, below, scenario):
    """Weights, parameters, keys and values in the part of the activation memory that continues the weight memory."""
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    limit = min(32768, configuration.shared_bytes)
    rng = np.random.default_rng([below, *scenario.encode()])
    case = Case(configuration, rng, weight_limit=limit, weight_base=configuration.weight_bytes - below)
    SCENARIOS[scenario](case)
    check(started(machine, power_up), configuration, *case.finish())


def queue_counts(configuration: HardwareConfiguration, program: Program, memory: Memory) -> np.ndarray:
    """How many tokens the reference machine routes to each expert."""
    reference = ReferenceMachine(configuration)
    reference.run(program, Memory(memory.constants.copy(), memory.frame.copy()), MAX_CYCLES)
    return reference.queue_count


@pytest.mark.parametrize("kind", DEGENERATE_ROUTES)
@pytest.mark.parametrize(("machine", "power_up"), powered(22))
def test_degenerate_routing(started, machine, power_up, kind):
    """Every expert gathers and scatters its queue; a number of tokens that is no multiple of a tile."""
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    case = Case(configuration, np.random.default_rng([7, *kind.encode()]), act_limit=configuration.act_bytes)
    tokens = 2 * configuration.tile_rows + 1
    counts = degenerate_route(case, kind, tokens)
    assert tokens % configuration.tile_rows and tokens % configuration.tile_columns
    program, memory = case.finish()
    assert queue_counts(configuration, program, memory).tolist() == counts
    check(started(machine, power_up), configuration, program, memory)


LONG = replace(TINY, name="long", act_bytes=262144, weight_bytes=262144, row_entries=2048)


@pytest.mark.parametrize("keys", [1201])
def test_attention_over_1201_keys(keys):
    executor = CsimExecutor(LONG)
    case = Case(LONG, np.random.default_rng(keys), act_limit=LONG.act_bytes, weight_limit=LONG.weight_bytes)
    attention(case, rows=13, keys=keys, width=64)
    check(executor, LONG, *case.finish())


@pytest.mark.parametrize("executor", [ReferenceMachine, CsimExecutor], ids=["reference", "csim"])
def test_softmax_of_1201_equal_scores(executor):
    """The largest sum of probabilities there is, 1,201 * 127 = 152,527; its reciprocal scales a product."""
    case = Case(LONG, np.random.default_rng(1201), act_limit=LONG.act_bytes, weight_limit=LONG.weight_bytes)
    entry = equal_scores(case, keys=1201, score=-321)
    program, memory = case.finish()
    reference = ReferenceMachine(LONG)
    reference.run(program, Memory(memory.constants.copy(), memory.frame.copy()), MAX_CYCLES)
    multiplier, bits = reciprocal(np.array(152_527))
    assert (reference.row_max[entry], reference.row_multiplier[entry], reference.row_shift[entry]) == (
        -321, multiplier, 15 + bits,
    )  # fmt: skip
    tested = executor(LONG)
    check(tested, LONG, program, memory)
    tested.close()


# --- faults -----------------------------------------------------------------------------------------------------------


def _without_rows(c: HardwareConfiguration) -> dict[str, bytes]:
    """Instructions that would leave memories if they had rows."""
    far = {"source_address": HUGE // 256 * 256, "destination_address": HUGE // 256 * 256, "columns": 8}
    return {
        "layer_norm": pack("layer_norm", **far),
        "softmax": pack("softmax", row_base=c.row_entries, **far),
        "route": pack("route", columns=2, top_k=1, source_address=HUGE // 256 * 256),
        "matmul": pack(
            "matmul", columns=1, depth=8, a_address=HUGE // 256 * 256, b_address=HUGE // 256 * 256, row_scale=1,
            d_address=HUGE // 256 * 256, row_base=c.row_entries,
        ),
    }  # fmt: skip


LIMITS = [name for name, machine in MACHINES.items() if machine.configuration == "tiny" and machine.random_dram is None]


@pytest.mark.parametrize(("machine", "power_up"), powered(26))
def test_every_shift_of_a_parameter(started, machine, power_up):
    """All 256 values of the byte, with sums and multipliers of the largest magnitude, of either sign."""
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    case = Case(configuration, np.random.default_rng(0))
    columns = 1 << 8
    product = random_product(case, rows=2, columns=columns, depth=case.depth)
    block = np.zeros(columns, PARAMETER_ENTRY)
    block["bias"], block["multiplier"], block["shift"] = -(1 << 31), 65_535, np.arange(columns)
    block["bias"][1::2] = (1 << 31) - 1
    address = case.reserve_weight(2 * block.nbytes)
    case.put_weight(address, np.concatenate([block, block[::-1]]))
    for half in range(2):
        case.emit(
            "matmul", **{**product, "param_address": address + half * block.nbytes, "param_stride": 8 * case.columns},
            **into_act(case, Destination.INT16, 2, columns),
        )  # fmt: skip
    check(started(machine, power_up), configuration, *case.finish())


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize(("machine", "power_up"), powered(23, *LIMITS))
def test_both_sides_of_every_limit(started, machine, power_up, name):
    """Just outside, every machine refuses the instruction alike and encode does not make it; inside, all do the same."""
    executor, wrong = started(machine, power_up), []
    for side in sides(name, TINY):
        code = pack(name, tag=7, **side.fields) + pack("end")
        found = [outcome(tested, code) for tested in (ReferenceMachine(TINY), executor)]
        refused = found[0] == (Fault.BAD_INSTRUCTION, "fetch", 0)
        if found[0] != found[1] or refused == side.legal:
            wrong.append(f"{side}: {found[0]} on the reference machine, {found[1]} on {machine}")
        if side.legal:
            encode(name, TINY, **side.fields)
        else:
            with pytest.raises(ValueError, match=re.escape(str(side.rule))):
                encode(name, TINY, **side.fields)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("ordered", [False, True], ids=["at once", "ordered"])
@pytest.mark.parametrize(("machine", "power_up"), powered(28))
def test_one_of_several_faults_is_named(started, machine, power_up, ordered):
    """Three units leave their memories and fetch meets an opcode that does not exist; semaphores make one of them the first."""
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    to_matmul, to_vector = (1 << semaphore(*pair) for pair in ((Unit.LOAD, Unit.MATMUL), (Unit.MATMUL, Unit.VECTOR)))
    masks = [{"signal_mask": to_matmul}, {"wait_mask": to_matmul, "signal_mask": to_vector}, {"wait_mask": to_vector}]
    load, matmul, vector = masks if ordered else ({}, {}, {})
    code = (
        pack("load", tag=1, local_address=HUGE, bytes=16, **RUN, **load)
        + pack("matmul", tag=2, rows=1, columns=1, depth=8, a_address=HUGE // 256 * 256, **matmul)
        + pack("softmax", tag=3, rows=1, columns=1, source_address=HUGE // 256 * 256, **vector)
        + (pack("end") if ordered else b"\x63" + bytes(63))
    )
    memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(64, np.uint8))
    possible = possible_faults(ReferenceMachine(configuration), Program(0, len(code)), memory)
    units = [(Fault.ADDRESS, unit, tag) for tag, unit in enumerate(("load", "matmul", "vector"), 1)]
    assert possible == ({units[0]} if ordered else {*units, (Fault.BAD_INSTRUCTION, "fetch", 0)})
    assert outcome(started(machine, power_up), code) in possible


@pytest.mark.parametrize("name", _without_rows(TINY))
@pytest.mark.parametrize(("machine", "power_up"), powered(27))
def test_no_rows_leave_no_memory(started, machine, power_up, name):
    configuration = CONFIGURATIONS[MACHINES[machine].configuration]
    code = _without_rows(configuration)[name] + pack("end")
    for tested in (ReferenceMachine(configuration), started(machine, power_up)):
        assert outcome(tested, code) == (Fault.NONE, "", 0)


def outcome(executor: Executor, code: bytes) -> tuple[Fault, str, int]:
    """How a program on small windows of zeros ended: cause, unit and tag."""
    memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(64, np.uint8))
    try:
        executor.run(Program(0, len(code)), memory, MAX_CYCLES)
    except MachineFault as fault:
        return fault.cause, fault.unit, fault.tag
    return Fault.NONE, "", 0


@pytest.mark.parametrize(
    ("machine", "power_up", "stuck", "full"),
    [
        pytest.param("reference", 25, "instruction 0, tag 7", "instruction 0, tag 7", id="reference-power25"),
        pytest.param("csim-tiny", 25, "tag 7", "tag 7", id="csim-tiny-power25"),
        pytest.param("rtl-tiny", 25, "", "", id="rtl-tiny-power25"),
    ],
)
def test_a_timeout_names_who_waits_for_whom(started, machine, power_up, stuck, full):
    wait = 1 << semaphore(Unit.LOAD, Unit.MATMUL)
    waiting = matmul(wait_mask=wait) + pack("end")
    loads = pack("load", wait_mask=1 << semaphore(Unit.ROUTE, Unit.LOAD), tag=7, bytes=16, **RUN)
    for code, expected in (
        (waiting, f"matmul ({stuck}) waits for a signal from load"),
        (loads * 40, f"load ({full}) waits for a signal from route; fetch waits for room in the queue of load"),
    ):
        memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(64, np.uint8))
        with pytest.raises(MachineFault) as caught:
            started(machine, power_up).run(Program(0, len(code)), memory, 5_000)
        detail = caught.value.detail
        if stuck:
            assert detail == expected
        else:  # the registers tell the unit and for how long
            unit = expected.split()[0]
            found = re.fullmatch(rf"of 5,0\d\d cycles units waited for signals: {unit} (4,\d\d\d)", detail)
            assert found and int(found[1].replace(",", "")) > 4_800, detail


@pytest.mark.parametrize("name", faults(TINY))
@pytest.mark.parametrize(("machine", "power_up"), powered(24))
def test_fault(started, machine, power_up, name):
    """The cause, the unit and the tag; the run after it is right."""
    configuration, executor = CONFIGURATIONS[MACHINES[machine].configuration], started(machine, power_up)
    code, cause, unit, tag = faults(configuration)[name]
    for tested in (ReferenceMachine(configuration), executor):
        memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(64, np.uint8))
        with pytest.raises(MachineFault) as caught:
            tested.run(Program(0, len(code)), memory, 5_000 if cause == Fault.TIMEOUT else MAX_CYCLES)
        assert (caught.value.cause, caught.value.unit, caught.value.tag) == (cause, unit, tag)
        assert np.array_equal(memory.constants, np.frombuffer(code, np.uint8))
    case = Case(configuration, np.random.default_rng(len(code)))
    SCENARIOS["layer_norm"](case)
    check(executor, configuration, *case.finish())
