"""What a frame costs, from sizes alone: cycles per layer, DRAM bytes and resources, without weights and without simulation.

The program is lowered as for a build, with tensors of the right shapes and no content, and timed by hls.timing. Experts are taken
to share the tokens evenly, unless counts are given.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hls.constants import Constants, block_sizes
from hls.emitter import FrameLayout
from hls.lowering import lower_task
from hls.network import output_shape
from hls.resources import Resources
from hls.resources import estimate as estimate_resources
from hls.schedule import Schedule
from hls.timing import BYTES_PER_CYCLE, TimingModel
from spec.bundle import Architecture, Bundle, Task, expected_tensors
from spec.configuration import HardwareConfiguration
from spec.cost import frame_macs
from spec.isa import Unit


@dataclass(frozen=True)
class FrameEstimate:
    """One frame of one task.

    cycles: from start to done; encoder_cycles: to the end of the final layer norm. layers: name to cycles, in order, summing to
    cycles. steps: cycles in which the array multiplies. waits: cycles in which it does not, by cause. macs: of the network, with its
    head. read_bytes, written_bytes: DRAM traffic. instructions: of the program, by name.
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
    task: str,
    configuration: HardwareConfiguration,
    schedule: Schedule = Schedule(),  # noqa: B008 - frozen
    counts: Sequence[Sequence[int]] | None = None,
    bytes_per_cycle: float = BYTES_PER_CYCLE,
) -> FrameEstimate:
    """Estimate a frame. counts: tokens per kept expert for each MoE block, default an even share. UserError if it does not fit."""
    constants = Constants()
    for name, size in block_sizes(architecture, tasks, configuration):
        constants.add(name, size, lambda: np.empty(0, np.uint8))
    frame = FrameLayout()
    image = frame.allocate(architecture.image_height * architecture.image_width * 4)
    chosen = tasks[task]
    output = frame.allocate(2 * math.prod(output_shape(architecture, chosen)))
    tags: dict[str, int] = {}
    bundle = _without_weights(architecture, tasks)
    lowered = lower_task(bundle, configuration, constants, task, frame, image, output, False, tags, schedule)
    timing = TimingModel(configuration, bytes_per_cycle).run(lowered.assembler.entries, counts)
    names = {number: name for name, number in tags.items()}
    layers: dict[str, float] = {}
    last = 0.0
    for piece in timing.slices:
        if piece.unit == Unit.MATMUL:
            layer = _layer(names[piece.entry.fields["tag"]])
            layers[layer] = layers.get(layer, 0.0) + max(piece.done - last, 0.0)
            last = max(piece.done, last)
    layers["output"] = timing.cycles - last
    encoder = max(piece.done for piece in timing.slices if names[piece.entry.fields["tag"]] == "norm")
    return FrameEstimate(
        cycles=timing.cycles,
        encoder_cycles=encoder,
        layers=layers,
        steps=timing.steps,
        waits=timing.waits,
        macs=frame_macs(architecture, chosen),
        read_bytes=timing.read_bytes,
        written_bytes=timing.written_bytes,
        resources=estimate_resources(configuration),
        instructions=dict(Counter(entry.name for entry in lowered.assembler.entries)),
    )


def _without_weights(architecture: Architecture, tasks: dict[str, Task]) -> Bundle:
    """A bundle whose tensors have the right shapes and take no memory."""
    tensors = {
        name: np.broadcast_to(np.zeros((), dtype), shape)
        for name, (shape, dtype) in expected_tensors(architecture, tasks).items()
    }
    return Bundle("estimate", architecture, tasks, tensors, {})


def _layer(tag: str) -> str:
    """The layer of a tag: attention, MLP, router and experts of a block as one each."""
    match = re.match(r"(blocks\.\d+)\.(\w+)", tag)
    if not match:
        return tag
    part = match[2]
    return f"{match[1]}.{part if part in ('mlp', 'router', 'experts', 'projection') else 'attention'}"
