"""A task's pathway: the experts that its routers may choose in each MoE block, and to how many of them a token goes.

A model always runs as the whole network, except inside `on_pathways`. Functions that derive something from a model for certain
pathways, such as its integers, take the pathways as an argument.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.spec.bundle import Alternative, Task

Experts = dict[int, tuple[int, ...]]
"""By MoE block: the indices of the experts kept, ascending."""

Pathways = Mapping[str, Alternative]
"""By task: its experts and its top-k."""


def moe_blocks(model: M3ViT) -> dict[int, MoE]:
    """The MoE layers by block index."""
    return {i: block.mlp for i, block in enumerate(model.blocks) if isinstance(block.mlp, MoE)}


def moe_blocks_of(model: M3ViT, task: str) -> dict[int, MoE]:
    """The MoE layers that a task runs, by block index."""
    return {i: moe for i, moe in moe_blocks(model).items() if i <= model.configuration.last_block(task)}


def whole_network(model: M3ViT) -> dict[str, Alternative]:
    """The pathways of all tasks that contain every expert and have the model's top-k."""
    return model.configuration.whole_pathways


def pathway_of(experts: Experts, top_k: int) -> Alternative:
    """The pathway through the given experts, with top-k reduced to the smallest number of experts in any block, if that is lower."""
    return Alternative(min([top_k, *map(len, experts.values())]), experts)


def pathways_of(tasks: Mapping[str, Task], alternative: str | None = None) -> dict[str, Alternative]:
    """The pathways of a quantised network's tasks: the default ones, or an alternative that all tasks have."""
    if alternative is not None:
        return {name: task.alternatives[alternative] for name, task in tasks.items()}
    return {name: Alternative(task.top_k, task.pathway) for name, task in tasks.items()}


@contextmanager
def on_pathways(model: M3ViT, pathways: Pathways) -> Iterator[None]:
    """A context in which the model's routers choose only among the pathways' experts, with the pathways' numbers of experts per token.

    Tasks that are not named keep their pathways; on exit all are restored. UserError if a block has no expert, or fewer than a token
    goes to.
    """
    layers = moe_blocks(model)
    for task, one in pathways.items():
        for experts in one.pathway.values():
            if not experts:
                raise UserError(f"the pathway of task {task} has a block with 0 experts: keep at least 1 in each")
            if not 1 <= one.top_k <= len(experts):
                sizes = f"a token goes to {one.top_k} experts, a block keeps {len(experts)}"
                raise UserError(f"the pathway of task {task} cannot be: {sizes}; lower the top-k or keep more")
    before = [
        (moe, task, moe.kept[task], moe.top_k_of[task])
        for task, one in pathways.items()
        for moe in (layers[i] for i in one.pathway)
    ]
    try:
        for task, one in pathways.items():
            for i, experts in one.pathway.items():
                kept = torch.zeros(model.configuration.experts, dtype=torch.bool)
                kept[list(experts)] = True
                layers[i].kept[task], layers[i].top_k_of[task] = kept, one.top_k
        yield
    finally:
        for moe, task, kept, top_k in before:
            moe.kept[task], moe.top_k_of[task] = kept, top_k
