"""Semaphores: whatever the order in which units get on, the result is that of the program's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest

from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.emitter import QUEUES
from moesaic.hls.compiler.generate import generate
from moesaic.hls.compiler.weight_layout import pack_linear
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import INSTRUCTION_BYTES, Destination, LoadDestination, Space, Unit, pack, semaphore
from moesaic.spec.issue import Issued, read_program
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.unit_orders import adversarial_order, execute_in_order, find_race, unclaimed_signals
from tests.hls.networks import ODD, SMALL, network, picture
from tests.hls.test_weight_layout import random_linear
from tests.spec.legal_fields import SMALLEST

TINY = dataclasses.replace(
    load_configuration("tiny"), act_bytes=4096, act_ultra_bytes=0, shared_bytes=0, weight_bytes=4096
)
SLOT, SLOTS, ROWS = 64, 6, 4
WEIGHT_SLOT, WEIGHT_SLOTS = 8 * 8 + 16 * 8, 3
SEEDS = range(12)
KINDS = ("load_act", "load_weight", "store", "product", "scores", "norm", "softmax", "route", "expert")


class RandomProgram:
    """Instructions on a few small slots, so that most of them conflict with one another."""

    def __init__(self, seed: int, length: int = 60) -> None:
        self.rng = np.random.default_rng(seed)
        self.assembler = Assembler(TINY, {})
        for _ in range(length):
            getattr(self, self.rng.choice(KINDS))()
        self.code = self.assembler.program()

    def slot(self) -> Span:
        start = SLOT * int(self.rng.integers(SLOTS))
        return Span("act", start, start + SLOT)

    def weight_slot(self) -> Span:
        start = WEIGHT_SLOT * int(self.rng.integers(WEIGHT_SLOTS))
        return Span("weight", start, start + WEIGHT_SLOT)

    def frame_slot(self) -> Span:
        start = SLOT * int(self.rng.integers(SLOTS))
        return Span("frame", start, start + SLOT)

    def rows(self) -> Span:
        start = ROWS * int(self.rng.integers(2))
        return Span("rows", start, start + ROWS)

    def emit(self, name: str, reads: tuple[Span, ...], writes: tuple[Span, ...], **fields: int) -> None:
        self.assembler.emit(name, name, reads, writes, **fields)

    def load_act(self) -> None:
        source, target = self.frame_slot(), self.slot()
        self.emit(
            "load", (source,), (target,), space=int(Space.FRAME), destination=int(LoadDestination.ACT), dram_offset=source.start,
            local_address=target.start, bytes=SLOT, count_1=1, count_2=1, count_3=1,
        )  # fmt: skip

    def load_weight(self) -> None:
        target, conditional = self.weight_slot(), int(self.rng.integers(2))
        self.emit(
            "load", (QUEUES,) if conditional else (), (target,), destination=int(LoadDestination.WEIGHT), skip_if_empty=conditional,
            queue=int(self.rng.integers(4)), dram_offset=WEIGHT_SLOT * int(self.rng.integers(8)), local_address=target.start,
            bytes=WEIGHT_SLOT, count_1=1, count_2=1, count_3=1,
        )  # fmt: skip

    def store(self) -> None:
        source, target = self.slot(), self.frame_slot()
        self.emit(
            "store", (source,), (target,), space=int(Space.FRAME), dram_offset=target.start, local_address=source.start, bytes=SLOT,
            count_1=1, count_2=1, count_3=1,
        )  # fmt: skip

    def matmul(
        self, reads: tuple[Span, ...], writes: tuple[Span, ...], a: Span, w: Span, d: Span, **fields: int
    ) -> None:
        self.emit(
            "matmul", (a, w, *reads), (d, *writes), rows=ROWS, columns=8, depth=16, a_address=a.start, a_pitch=16, b_address=w.start + 64,
            b_stride=WEIGHT_SLOT, param_address=w.start, param_stride=WEIGHT_SLOT, d_address=d.start, d_pitch=16, **fields,
        )  # fmt: skip

    def product(self) -> None:
        target, residual = self.slot(), int(self.rng.integers(2))
        destination = Destination.RESIDUAL if residual else Destination.INT8
        self.matmul(
            (target,) if residual else (), (), self.slot(), self.weight_slot(), target, destination=int(destination)
        )

    def scores(self) -> None:
        statistics = self.rows()
        self.matmul(
            (), (statistics,), self.slot(), self.weight_slot(), self.slot(), destination=int(Destination.INT16), track_max=1,
            row_base=statistics.start,
        )  # fmt: skip

    def norm(self) -> None:
        source, target, parameters = self.slot(), self.slot(), self.slot()
        self.emit(
            "layer_norm", (source, parameters), (target,), rows=ROWS, columns=8, source_address=source.start, source_pitch=16,
            destination_address=target.start, destination_pitch=16, param_address=parameters.start, shift=18,
        )  # fmt: skip

    def softmax(self) -> None:
        source, target, statistics = self.slot(), self.slot(), self.rows()
        self.emit(
            "softmax", (source, statistics), (target, statistics), rows=ROWS, columns=8, source_address=source.start, source_pitch=16,
            destination_address=target.start, destination_pitch=16, row_base=statistics.start,
        )  # fmt: skip

    def route(self) -> None:
        source = self.slot()
        self.emit(
            "route", (source,), (QUEUES,), rows=ROWS, columns=4, source_address=source.start, source_pitch=16, top_k=2
        )

    def expert(self) -> None:
        self.matmul(
            (QUEUES,), (), self.slot(), self.weight_slot(), self.slot(), destination=int(Destination.INT8), gather=1,
            queue=int(self.rng.integers(4)),
        )  # fmt: skip


def new_memory() -> Memory:
    rng = np.random.default_rng(99)
    weights = np.concatenate([pack_linear(TINY, random_linear(rng, 8, 16)) for _ in range(8)])
    return Memory(weights, rng.integers(0, 256, SLOT * SLOTS).astype(np.uint8))


def instructions(code: bytes) -> list[Issued]:
    return list(read_program(Program(0, len(code)), np.frombuffer(code, np.uint8), TINY))


def outcome(program: list[Issued], order: Iterable[int]) -> np.ndarray:
    machine, memory = ReferenceMachine(TINY), new_memory()
    machine.weight[: WEIGHT_SLOT * WEIGHT_SLOTS] = memory.constants[: WEIGHT_SLOT * WEIGHT_SLOTS]
    return execute_in_order(machine, program, order, memory)


def orders(program: list[Issued]) -> list[list[int]]:
    return [adversarial_order(program, None, seed) for seed in range(12)]


def without(program: list[Issued], pairs: int) -> list[Issued]:
    """The program with the semaphores of a mask removed."""
    return [
        i._replace(fields={**i.fields, **{mask: i.fields[mask] & ~pairs for mask in ("wait_mask", "signal_mask")}})
        for i in program
    ]


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
def test_any_order_of_units_gives_the_result_of_program_order(seed: int) -> None:
    program = instructions(RandomProgram(seed).code)
    expected = outcome(program, range(len(program)))
    for order in orders(program):
        assert np.array_equal(outcome(program, order), expected)
    assert not unclaimed_signals(program)


NEVER_IN_CONFLICT = {(Unit.STORE, Unit.ROUTE), (Unit.ROUTE, Unit.STORE)}
"""store only reads on chip, route writes only its queues, which store does not read."""
PAIRS = [(a, b) for a in Unit for b in Unit if a != b and (a, b) not in NEVER_IN_CONFLICT]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0].name.lower()}-{p[1].name.lower()}")
def test_every_pair_of_units_needs_its_semaphore(pair: tuple[Unit, Unit]) -> None:
    """The check above can fail: without the semaphore of any one pair, some order gives another result."""
    mask = 1 << semaphore(*pair)

    def differs(seed: int) -> bool:
        program = instructions(RandomProgram(seed).code)
        expected, broken = outcome(program, range(len(program))), without(program, mask)
        for order in orders(broken):
            if not np.array_equal(outcome(broken, order), expected):
                race = find_race(broken, order, lambda tried: outcome(broken, tried))
                assert (race.early.unit, race.late.unit) == pair, (
                    "another pair was named than the one whose semaphore is gone"
                )
                assert race.early.index < race.late.index
                return True
        return False

    assert any(differs(seed) for seed in SEEDS)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
def test_masks_name_only_the_units_semaphores_and_signals_match_waits(seed: int) -> None:
    counts = dict.fromkeys(range(25), 0)
    for _, _, unit, fields in instructions(RandomProgram(seed).code):
        waits = [n for n in counts if fields["wait_mask"] >> n & 1]
        signals = [n for n in counts if fields["signal_mask"] >> n & 1]
        assert all(n % len(Unit) == unit for n in waits) and all(n // len(Unit) == unit for n in signals)
        for n in waits:
            counts[n] -= 1
            assert counts[n] >= 0, "waits for a signal that comes later in the program"
        for n in signals:
            counts[n] += 1
    assert not any(counts.values())


def test_independent_instructions_do_not_wait() -> None:
    assembler = Assembler(TINY, {})
    for start in range(0, 256, 64):
        assembler.emit("load", "a", writes=(Span("act", start, start + 64),), **SMALLEST["load"])
    assembler.emit(
        "layer_norm", "b", reads=(Span("act", 1024, 1088),), writes=(Span("act", 2048, 2112),), **SMALLEST["layer_norm"]
    )
    assert all(not f["wait_mask"] and not f["signal_mask"] for *_, f in instructions(assembler.program()))


def test_two_readers_do_not_wait_for_one_another_but_the_next_writer_waits_for_both() -> None:
    assembler, shared = Assembler(TINY, {}), Span("act", 0, 64)
    assembler.emit("store", "a", reads=(shared,), **SMALLEST["store"])
    assembler.emit("route", "b", reads=(shared,), writes=(QUEUES,), **SMALLEST["route"])
    assembler.emit("load", "c", writes=(shared,), **SMALLEST["load"])
    store, route, load = (i.fields for i in instructions(assembler.program()))
    assert store["wait_mask"] == route["wait_mask"] == 0
    assert load["wait_mask"] == 1 << semaphore(Unit.STORE, Unit.LOAD) | 1 << semaphore(Unit.ROUTE, Unit.LOAD)


_BY_ACT, _BY_WEIGHT = (Destination.INT8, Destination.INT16), (Destination.KEYS, Destination.VALUES)


@pytest.mark.parametrize("later", [*_BY_ACT, *_BY_WEIGHT], ids=lambda d: f"then {d.name.lower()}")
@pytest.mark.parametrize("earlier", [*_BY_ACT, *_BY_WEIGHT], ids=lambda d: d.name.lower())
def test_a_product_waits_for_what_it_overwrites_by_the_address_of_the_other_memory(earlier, later) -> None:
    """By an address of the weight memory, a shared byte is written later than by one of the activation memory."""
    assembler, shared = Assembler(TINY, {}), Span("machine", 0, 64)
    for destination in (earlier, later):
        fields = {**SMALLEST["matmul"], "destination": int(destination)}
        assembler.emit("matmul", "a", reads=(Span("act", 1024, 1088),), writes=(shared,), **fields)
    second = instructions(assembler.program())[1].fields
    assert second["overlap"] == int(earlier in _BY_ACT or later in _BY_WEIGHT)


def test_tags_are_shared_by_the_programs_of_a_build_and_the_program_ends() -> None:
    tags: dict[str, int] = {}
    for layer in ("norm", "head", "norm"):
        assembler = Assembler(TINY, tags)
        assembler.emit("layer_norm", layer, **SMALLEST["layer_norm"])
        code = assembler.program()
        assert instructions(code)[0].fields["tag"] == tags[layer]
        assert code[-INSTRUCTION_BYTES:] == pack("end")
    assert tags == {"norm": 0, "head": 1}


@pytest.mark.parametrize("architecture", [SMALL, ODD], ids=["small", "odd"])
@pytest.mark.parametrize("depth", [2, 8, None], ids=lambda d: f"queues of {d}")
def test_lowered_networks_give_one_result_in_any_order(architecture, depth: int | None) -> None:
    configuration = load_configuration("tiny")
    build = generate(network(architecture, 3), configuration)
    for seed, task in enumerate(build.tasks.values()):
        program = list(read_program(task.program, build.constants, configuration))
        frames = []
        drawn = [adversarial_order(program, depth, number) for number in (2 * seed, 2 * seed + 1)]
        for order in (range(len(program)), *drawn):
            memory = build.new_memory()
            build.write_image(memory.frame, picture(architecture, 0))
            execute_in_order(ReferenceMachine(configuration), program, order, memory)
            frames.append(memory.frame)
        assert np.array_equal(frames[0], frames[1]) and np.array_equal(frames[0], frames[2])
