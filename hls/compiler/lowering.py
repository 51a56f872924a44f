"""Lowers one pathway of a bundle to the program of its frame, or several, on one image or several, to one program for all of them.

The program follows the order of the network, with these exceptions: weights are loaded ahead (moesaic.hls.compiler.prefetch); in
attention, the scores of the next heads are computed before the softmax-weighted sum of the current one; an expert's first layer is
computed before the previous expert's second layer; and the work around a layer norm or a router is split into chunks of rows, so
that one chunk is normalised or routed while the array works on its neighbours. Activations never leave the chip between the image
and the task's output.

Where a whole matrix of all tokens does not fit beside the residual stream, attention runs in slices of query rows, a dense MLP in
blocks of rows, and experts in slices of their queues. Keys and values of all tokens lie in the weight memory while they are needed.

A program for several results has lanes (moesaic.hls.compiler.lanes), and every weight is loaded once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.hls.compiler.assembler import Entry
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.compiler.does_not_fit import DoesNotFit
from moesaic.hls.compiler.emitter import Emitter
from moesaic.hls.compiler.lanes import Lane, Passage, image_lanes, passages
from moesaic.hls.compiler.lower_attention import Attention
from moesaic.hls.compiler.lower_experts import CopiedLanes, Experts
from moesaic.hls.compiler.lower_head import DenseHead, FinalNorms, TokenHead
from moesaic.hls.compiler.lower_mlp import Mlp
from moesaic.hls.compiler.lower_patch_embedding import PatchEmbedding
from moesaic.hls.compiler.lower_pooled_head import PooledHead
from moesaic.hls.compiler.machine_limits import check_machine_limits
from moesaic.hls.compiler.prefetch import Step
from moesaic.hls.compiler.program_plan import ProgramPlan
from moesaic.hls.compiler.target import Member, Target
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.heads import is_dense, pools_first
from moesaic.spec.observation import Observation

_SHARED_STEP = 4096
_SHARED_PARTS = 4


@dataclass(frozen=True)
class LoweredProgram:
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
    def observations(self) -> dict[Member, dict[str, Observation]]:
        """Where the results of the layers are stored, by member of the target and layer name."""
        return self.emitter.observations

    @property
    def tags(self) -> tuple[str, ...]:
        """The layers in the target's tags and those of this program, in the order of their tag numbers."""
        return self.emitter.tags

    @property
    def frame_end(self) -> int:
        """Bytes of the frame window in use, including all that this program stores."""
        return self.emitter.frame_end


def lower_program(target: Target) -> LoweredProgram:
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
            plan = ProgramPlan(target, weights_end)
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


def _lower(plan: ProgramPlan) -> LoweredProgram:
    if plan.target.observe:
        plan.emitter.clear(plan.act.span)
    plan.prefetcher().emit(list(_steps(plan)))
    return LoweredProgram(plan.emitter, plan.act.peak, plan.weights_end)


def _steps(plan: ProgramPlan) -> Iterator[Step]:
    yield from PatchEmbedding(plan, image_lanes(plan.target)).steps()
    for i, passage in enumerate(passages(plan.target)):
        if i not in plan.architecture.moe_blocks:
            yield from Attention(plan, i, passage.attention).steps()
            yield from Mlp(plan, i, passage.mlp).steps()
        else:
            yield from _moe_block(plan, i, passage)
        yield from _heads(plan, passage.leaving)


def _moe_block(plan: ProgramPlan, i: int, passage: Passage) -> Iterator[Step]:
    experts = Experts(plan, i, passage.mlp)
    if experts.routes_at_once and not passage.copies:
        yield from Attention(plan, i, passage.attention, experts.router_steps).steps()
        yield from experts.expert_steps()
    else:
        yield from Attention(plan, i, passage.attention).steps()
        yield from CopiedLanes(plan, i, passage.copies).steps()
        yield from experts.steps()


def _heads(plan: ProgramPlan, leaving: Sequence[tuple[Lane, Member]]) -> Iterator[Step]:
    """The heads of the results whose last block is done.

    Where several lanes end with dense heads, all of them are normalised first, while the array works on the first head.
    """
    dense = all(is_dense(plan.target.task(member).kind) for _, member in leaving)
    ahead = plan.whole and dense and len(leaving) > 1
    if ahead:
        yield from FinalNorms(plan, leaving).steps()
    for lane, member in leaving:
        task = plan.target.task(member)
        if pools_first(task):
            yield from PooledHead(plan, lane, member).steps()
        elif is_dense(task.kind):
            yield from DenseHead(plan, lane, member, normalised=ahead).steps()
        else:
            yield from TokenHead(plan, lane, member).steps()
