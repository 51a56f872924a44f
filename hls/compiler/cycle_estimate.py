"""What a frame costs, from sizes alone: cycles per layer, DRAM bytes and resources, without weights or simulation.

The program is lowered as for a build, from tensors with the right shapes but no content, and timed by
moesaic.hls.compiler.cycle_model. Experts are assumed to share the tokens evenly unless counts are given. Where blocks repeat, an
estimate in a hurry lowers two periods of them only, and the second also stands for those left out (tests/hls/test_timing.py compares the
result with that of all blocks).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.compiler.lowering import lower_program
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.shared_routers import experts_of
from moesaic.hls.compiler.weightless import weightless_target
from moesaic.hls.hardware.resource_estimate import Resources, estimate_resources
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.cost import run_macs
from moesaic.spec.dram_timing import BYTES_PER_CYCLE
from moesaic.spec.heads import blocks_run
from moesaic.spec.isa import INSTRUCTION_BYTES, Unit
from moesaic.spec.joint_programs import ResultSet, one_picture


@dataclass(frozen=True)
class FrameEstimate:
    """One frame of one task, or one run of a joint program.

    cycles: from start to done.
    encoder_cycles: from start to the end of the final layer norm.
    layers: cycles by layer, in order; their sum is `cycles`.
    steps: cycles in which the array multiplies.
    waits: cycles in which the array does not multiply, by cause.
    macs: of the network including its head.
    read_bytes, written_bytes: DRAM traffic.
    instructions: how many the program has, by name.
    """

    cycles: float
    encoder_cycles: float
    layers: dict[str, float]
    steps: float
    waits: dict[str, float]
    macs: int
    read_bytes: float
    written_bytes: float
    resources: Resources
    instructions: dict[str, int]


def estimate_frame(
    architecture: Architecture,
    tasks: dict[str, Task],
    run: str | ResultSet,
    configuration: HardwareConfiguration,
    schedule: Schedule = Schedule(),  # noqa: B008 - frozen
    counts: Sequence[Sequence[int]] | None = None,
    bytes_per_cycle: float = BYTES_PER_CYCLE,
    hurry: bool = False,
) -> FrameEstimate:
    """Estimate one frame of a task, or one run of a joint program.

    run: the name of the task, or the results of the joint program (moesaic.spec.joint_programs).
    counts: tokens per kept expert, for each MoE block; by default an even share.
    bytes_per_cycle: throughput of all DRAM ports together.
    hurry: whether two periods of blocks that repeat may stand for all of them. It takes a third of the time, and does not see
        that a later block may not find room in a weight memory in pieces, which moesaic.hls.compiler.generate refuses.

    Raises UserError if the network does not fit the configuration.
    """
    results = one_picture([run]) if isinstance(run, str) else run
    macs = run_macs(architecture, tasks, results)
    deepest = max(blocks_run(architecture, tasks[name]) for name, _ in results)
    architecture, tasks = _first_blocks(architecture, tasks, architecture.depth - deepest)
    running = [tasks[name] for name, _ in results]
    period, left_out = _repetition(architecture, running) if hurry and counts is None else (0, 0)
    second = range(period, 2 * period)
    lowered = lower_program(
        weightless_target(*_first_blocks(architecture, tasks, left_out * period), results, configuration, schedule)
    )
    names = [_layer(tag) for tag in lowered.tags]
    timed = CycleModel(configuration, bytes_per_cycle).run(lowered.entries, counts)
    layers: dict[_Layer, float] = {}
    waits: dict[str, float] = {}
    instructions: dict[str, int] = {}
    steps = encoder = last = 0.0
    transferred = dict.fromkeys(Unit, 0)
    for piece in timed.executions:
        layer = names[piece.entry.fields["tag"]]
        times = 1 + left_out if layer.block in second else 1
        if piece.unit == Unit.MATMUL:
            layers[layer] = layers.get(layer, 0.0) + max(piece.done - last, 0.0)
            last = max(piece.done, last)
        elif piece.entry.name == "layer_norm" and layer.block is None:
            encoder = max(piece.done, encoder)
        steps += times * piece.steps
        transferred[piece.unit] += times * piece.size
        instructions[piece.entry.name] = instructions.get(piece.entry.name, 0) + times
        for cause, cycles in piece.waits:
            waits[cause] = waits.get(cause, 0.0) + times * cycles
    layers[_Layer(None, "output")] = timed.cycles - last
    more = left_out * sum(cycles for layer, cycles in layers.items() if layer.block in second)
    return FrameEstimate(
        cycles=timed.cycles + more,
        encoder_cycles=encoder + more,
        layers=_with_repetitions(layers, second, left_out),
        steps=steps,
        waits=waits,
        macs=macs,
        read_bytes=transferred[Unit.LOAD] + INSTRUCTION_BYTES * (sum(instructions.values()) + 1),
        written_bytes=transferred[Unit.STORE],
        resources=estimate_resources(configuration),
        instructions=instructions,
    )


class _Layer(NamedTuple):
    """A part of the network. block: number of its transformer block, None if it lies outside of all blocks."""

    block: int | None
    part: str

    def __str__(self) -> str:
        return self.part if self.block is None else f"blocks.{self.block}.{self.part}"

    def later(self, blocks: int) -> _Layer:
        return self if self.block is None else self._replace(block=self.block + blocks)


def _layer(tag: str) -> _Layer:
    """The layer of a tag: attention, projection, MLP, router and experts of a block count as one each."""
    match = re.match(r"blocks\.(\d+)\.(\w+)", tag)
    if not match:
        return _Layer(None, tag)
    part = match[2] if match[2] in ("mlp", "router", "experts", "projection") else "attention"
    return _Layer(int(match[1]), part)


def _repetition(architecture: Architecture, tasks: Sequence[Task]) -> tuple[int, int]:
    """The period in which kinds of blocks repeat, and how many periods can be left out so that two remain; 0, 0 if none can."""
    if any(task.last_block is not None for task in tasks):
        return 0, 0
    kinds = [
        (len(experts_of(tasks, i)), *(len(task.pathway[i]) for task in tasks)) if i in architecture.moe_blocks else None
        for i in range(architecture.depth)
    ]
    for period in range(1, architecture.depth // 3 + 1):
        if kinds[period:] == kinds[:-period]:
            return period, architecture.depth // period - 2
    return 0, 0


def _first_blocks(
    architecture: Architecture, tasks: dict[str, Task], left_out: int
) -> tuple[Architecture, dict[str, Task]]:
    """The network without its last `left_out` blocks, which tasks that ran none of them do not notice."""
    depth = architecture.depth - left_out
    moe_blocks = tuple(i for i in architecture.moe_blocks if i < depth)
    short = {
        name: replace(
            task,
            pathway={i: task.pathway.get(i, ()) for i in moe_blocks},
            alternatives={},
            last_block=None if blocks_run(architecture, task) >= depth else task.last_block,
        )
        for name, task in tasks.items()
    }
    return replace(architecture, depth=depth, moe_blocks=moe_blocks), short


def _with_repetitions(layers: dict[_Layer, float], second: range, left_out: int) -> dict[str, float]:
    """All layers of the network in order.

    The layers of the second period are repeated for each period that was left out; the layers after them move to later blocks.
    """
    found = list(layers.items())
    places = [place for place, (layer, _) in enumerate(found) if layer.block in second]
    end = places[-1] + 1 if places else len(found)
    again = [
        (found[place][0].later(times * len(second)), found[place][1])
        for times in range(1, left_out + 1)
        for place in places
    ]
    rest = [(layer.later(left_out * len(second)), cycles) for layer, cycles in found[end:]]
    return {str(layer): cycles for layer, cycles in (*found[:end], *again, *rest)}
