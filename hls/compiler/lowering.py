"""Lowers one pathway of a bundle to the program of its frame.

The program follows the order of the network, with these exceptions: weights are loaded ahead (moesaic.hls.compiler.prefetch); in
attention, the scores of the next heads are computed before the softmax-weighted sum of the current one; an expert's first layer is
computed before the previous expert's second layer; and the work around a layer norm or a router is split into chunks of rows, so
that one chunk is normalised or routed while the array works on its neighbours. Activations never leave the chip between the image
and the task's output.

Where a whole matrix of all tokens does not fit beside the residual stream, attention runs in slices of query rows, a dense MLP in
blocks of rows, and experts in slices of their queues. Keys and values of all tokens lie in the weight memory while they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.hls.compiler.assembler import Entry
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.compiler.does_not_fit import DoesNotFit
from moesaic.hls.compiler.emitter import Emitter
from moesaic.hls.compiler.layer import Layer
from moesaic.hls.compiler.lower_attention import Attention
from moesaic.hls.compiler.lower_experts import Experts
from moesaic.hls.compiler.lower_head import DenseHead, TokenHead
from moesaic.hls.compiler.lower_mlp import Mlp
from moesaic.hls.compiler.lower_patch_embedding import PatchEmbedding
from moesaic.hls.compiler.lower_pooled_head import PooledHead
from moesaic.hls.compiler.machine_limits import check_machine_limits
from moesaic.hls.compiler.target import Target
from moesaic.hls.compiler.task_plan import TaskPlan
from moesaic.spec.build import Observation
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.heads import DENSE_KINDS, blocks_run, pools_first

_SHARED_STEP = 4096
_SHARED_PARTS = 4


@dataclass(frozen=True)
class LoweredTask:
    """The program of a target.

    act_peak: the most bytes of activation memory in use at once.
    weights_end: bytes of the shared memory that hold weights.
    """

    emitter: Emitter
    act_peak: int
    weights_end: int

    @property
    def entries(self) -> list[Entry]:
        """The instructions, without `end`."""
        return self.emitter.entries

    @property
    def observations(self) -> dict[str, Observation]:
        """Where the results of the layers are stored, by layer name."""
        return self.emitter.observations

    @property
    def tags(self) -> tuple[str, ...]:
        """The layers in the target's tags and those of this program, in the order of their tag numbers."""
        return self.emitter.tags

    @property
    def frame_end(self) -> int:
        """Bytes of the frame window in use, including the observations of this program."""
        return self.emitter.frame_end


def lower_task(target: Target) -> LoweredTask:
    """The program of a target, with the division of the shared memory that the cycle model finds fastest.

    More room for weights lets them be loaded earlier, but weights in the shared memory slow down access to activations. So divisions
    with weights there are tried only if they leave room for whole matrices of activations, or if the weights in use need that room.
    Raises UserError if a size exceeds the machine's limits, or if a buffer does not fit however the memory is divided.
    """
    check_machine_limits(target)
    model = CycleModel(target.configuration)
    fastest, least = None, math.inf
    reason: DoesNotFit | None = None
    for weights_end in (0, *_divisions(target.configuration)):
        try:
            plan = TaskPlan(target, weights_end)
            if fastest and not plan.whole:
                break
            candidate = _lower(plan)
        except DoesNotFit as refusal:
            if fastest:
                break  # more room for weights leaves even less for activations
            reason = reason or refusal
            continue
        cycles = model.run(candidate.entries).cycles
        if cycles < least:
            fastest, least = candidate, cycles
    if fastest is None:
        raise UserError(f"the model does not fit configuration {target.configuration.name}: {reason}") from None
    return fastest


def _divisions(configuration: HardwareConfiguration) -> list[int]:
    """Sizes, in bytes, of the part of the shared memory that may hold weights, in ascending order, without 0."""
    shared = configuration.shared_bytes
    parts = (shared * part // _SHARED_PARTS // _SHARED_STEP * _SHARED_STEP for part in range(1, _SHARED_PARTS + 1))
    return [size for size in dict.fromkeys(parts) if size]


def _lower(plan: TaskPlan) -> LoweredTask:
    if plan.target.observe:
        plan.emitter.clear(plan.act.span)
    plan.prefetcher().emit([step for layer in _layers(plan) for step in layer.steps()])
    return LoweredTask(plan.emitter, plan.act.peak, plan.weights_end)


def _layers(plan: TaskPlan) -> Iterator[Layer]:
    a = plan.architecture
    yield PatchEmbedding(plan)
    for i in range(blocks_run(a, plan.task)):
        yield Attention(plan, i)
        yield Experts(plan, i) if i in a.moe_blocks else Mlp(plan, i)
    if pools_first(plan.task):
        yield PooledHead(plan)
    else:
        yield DenseHead(plan) if plan.task.kind in DENSE_KINDS else TokenHead(plan)
