"""Lowers one task of a bundle to the program of its frame.

The order of the program is the order of the network, with these exceptions: weights are loaded ahead
(moesaic.hls.compiler.prefetch); in attention the
scores of the next heads are computed before the softmax-weighted sum of the current one; an expert's first layer is computed before
the previous expert's second one; and what lies around a layer norm or a router is cut into chunks of rows, so that a chunk is
normalised or routed while the array works on its neighbours. Activations never leave the chip between the image and the task's output.

Where a whole matrix of all tokens does not fit beside the residual stream, attention runs in slices of query rows, a dense MLP in
blocks of rows, and experts in slices of their queues. Keys and values of all tokens lie in the weight memory while they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.constants import Constants
from moesaic.hls.compiler.cycle_model import TimingModel
from moesaic.hls.compiler.emitter import FrameLayout
from moesaic.hls.compiler.lower_attention import Attention
from moesaic.hls.compiler.lower_experts import expert_steps
from moesaic.hls.compiler.lower_head import head_step
from moesaic.hls.compiler.lower_mlp import mlp_steps
from moesaic.hls.compiler.lower_patch_embedding import patch_embed_steps
from moesaic.hls.compiler.prefetch import Step
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.task_plan import TaskPlan
from moesaic.spec.build import Observation
from moesaic.spec.bundle import Bundle
from moesaic.spec.configuration import HardwareConfiguration

_SHARED_STEP = 4096


@dataclass(frozen=True)
class LoweredTask:
    """act_peak: bytes of activation memory in use at the worst moment; weights_end: bytes of the shared memory that hold weights."""

    assembler: Assembler
    observations: dict[str, Observation]
    act_peak: int
    weights_end: int


def lower_task(
    bundle: Bundle, configuration: HardwareConfiguration, constants: Constants, task: str, frame: FrameLayout, image_offset: int,
    output_offset: int, observe: bool, tags: dict[str, int], schedule: Schedule,
) -> LoweredTask:  # fmt: skip
    """The program of a task, with that division of the shared memory which the timing model finds fastest.

    More room for weights lets them be loaded earlier, but weights there delay activations. Only divisions that leave room for whole
    matrices of activations are tried.

    frame: the frame window's layout, grown by observations; image_offset, output_offset: in that window. observe: store every layer's
    result in the frame window as well (see moesaic.spec.build.Observation). tags: see Assembler. task: the name of a pathway of the bundle.
    UserError if a buffer does not fit.
    """

    def attempt(weights_end: int) -> tuple[TaskPlan, FrameLayout, dict[str, int]] | None:
        own_frame, own_tags = FrameLayout(frame.end), dict(tags)
        plan = TaskPlan(
            bundle, configuration, constants, task, own_frame, image_offset, output_offset, observe, own_tags, schedule, weights_end,
        )  # fmt: skip
        if weights_end and not plan.whole:
            return None
        if observe:
            plan.emitter.clear_act()
        plan.prefetcher().emit(list(_steps(plan)))
        return plan, own_frame, own_tags

    model, fastest, done = TimingModel(configuration), math.inf, None
    shared = configuration.shared_bytes
    for weights_end in filter(
        None, dict.fromkeys(shared * part // 4 // _SHARED_STEP * _SHARED_STEP for part in range(5))
    ):
        try:
            candidate = attempt(weights_end)
        except UserError:
            break  # more for weights leaves even less for activations
        if candidate is None:
            break
        cycles = model.run(candidate[0].emitter.assembler.entries).cycles
        if cycles < fastest:
            fastest, done = cycles, candidate
    without = attempt(0)
    if done is None or model.run(without[0].emitter.assembler.entries).cycles <= fastest:
        done = without
    plan, own_frame, own_tags = done
    frame.end = own_frame.end
    tags.update(own_tags)
    return LoweredTask(plan.emitter.assembler, plan.emitter.observations, plan.emitter.act.peak, plan.weights_end)


def _steps(plan: TaskPlan) -> Iterator[Step]:
    a = plan.architecture
    yield from patch_embed_steps(plan)
    for i in range(a.depth):
        yield from Attention(plan, i).steps()
        yield from expert_steps(plan, i) if i in a.moe_blocks else mlp_steps(plan, i)
    yield head_step(plan)
