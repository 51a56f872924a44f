"""Routers that share expert queues although their pathways keep different experts: their columns are put in common places."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from moesaic.hls.compiler.lanes import passages
from moesaic.hls.compiler.padded_layers import linear
from moesaic.hls.compiler.target import Target
from moesaic.hls.compiler.weight_layout import linear_bytes, pack_linear
from moesaic.spec.bundle import Task

Experts = tuple[int, ...]
"""Numbers of experts, ascending."""


def experts_of(tasks: Iterable[Task], block: int) -> Experts:
    """The experts that any of the pathways keeps in a transformer block; queue n is that of the n-th one."""
    return tuple(sorted({expert for task in tasks for expert in task.pathway[block]}))


def router_block(router: str, kept: Experts, experts: Experts) -> str:
    """Name in the constant window of a router's layer with a column for each of `experts`, of which its pathway keeps `kept`."""
    return router if kept == experts else f"{router}@{','.join(map(str, experts))}"


def absent(kept: Experts, experts: Experts) -> int:
    """Bit n says that the pathway does not keep the n-th of `experts`."""
    return sum(1 << n for n, expert in enumerate(experts) if expert not in kept)


def add_router_blocks(target: Target) -> None:
    """Add the router layers that the program of a target needs, and that its constants do not have, to these."""
    for block, passage in enumerate(passages(target)):
        if block not in target.architecture.moe_blocks:
            continue
        members = [member for lane in passage.mlp for member in lane.members]
        experts = experts_of(map(target.task, members), block)
        for member in members:
            router, kept = f"blocks.{block}.router.{member.pathway}", target.task(member).pathway[block]
            name = router_block(router, kept, experts)
            if name not in target.constants.offset:
                size = linear_bytes(target.configuration, len(experts), target.architecture.width)
                target.constants.add(name, size, partial(_packed, target, router, kept, experts))


def _packed(target: Target, router: str, kept: Experts, experts: Experts) -> np.ndarray:
    places = np.isin(experts, kept).nonzero()[0]
    layer = linear(target.bundle, router).with_outputs_at(places, len(experts))
    return pack_linear(target.configuration, layer)
