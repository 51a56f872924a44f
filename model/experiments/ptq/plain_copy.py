"""A network of ours as a `PlainNetwork`, with its weights."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from moesaic.errors import UserError
from moesaic.model.experiments.ptq.plain_network import FEATURES, Block, Experts, Mlp, PlainNetwork
from moesaic.model.network.heads import Head
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import require_integer_form
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.spec.heads import CLASSIFICATION


def plain_sizes(configuration: ModelConfiguration) -> dict[str, Any]:
    """What a `PlainNetwork` is built from, in types that JSON has. UserError for a network that it cannot be."""
    c = configuration
    require_integer_form(c)
    if taken := [task.name for task in c.tasks if task.kind == CLASSIFICATION]:
        raise UserError(f"task {taken[0]} is a classification, which is not compared: leave it out of the recipe")
    return {
        "patch": c.patch,
        "grid": list(c.grid),
        "tokens": c.tokens,
        "prefix_tokens": c.prefix_tokens,
        "width": c.width,
        "heads": c.heads,
        "depth": c.depth,
        "mlp_hidden": c.mlp_hidden,
        "moe_blocks": list(c.architecture.moe_blocks),
        "experts": c.experts,
        "top_k": c.top_k,
        "expert_hidden": c.expert_hidden,
        "epsilon": c.norm_epsilon,
        "tasks": [
            {
                "name": task.name,
                "kind": FEATURES if task.kind == FEATURES else "dense",
                "channels": task.channels,
                "resolution": c.resolution,
                "last_block": c.last_block(task.name),
            }
            for task in c.tasks
        ],
    }


@torch.no_grad()
def plain_copy(model: M3ViT) -> PlainNetwork:
    """The network in evaluation mode; its predictions are the model's up to rounding in float. UserError: see `plain_sizes`."""
    plain = PlainNetwork(plain_sizes(model.configuration)).eval()
    _take(plain.embedding, model.patch_embedding.weight, model.patch_embedding.bias)
    plain.position.copy_(model.position)
    if model.class_token is not None:
        plain.position[0] += model.class_token
    for ours, theirs in zip(model.blocks, cast("list[Block]", plain.blocks)):
        theirs.norm1.load_state_dict(ours.norm1.state_dict())
        theirs.norm2.load_state_dict(ours.norm2.state_dict())
        attention = theirs.attention
        attention.in_proj_weight.copy_(ours.attention.qkv.weight)
        attention.in_proj_bias.copy_(ours.attention.qkv.bias)
        _take(attention.out_proj, ours.attention.projection.weight, ours.attention.projection.bias)
        if isinstance(theirs.mlp, Mlp):
            theirs.mlp.load_state_dict(ours.mlp.state_dict())
        else:
            _take_experts(theirs.mlp, cast("MoE", ours.mlp))
    plain.norm.load_state_dict(model.norm.state_dict())
    for name, head in plain.heads.items():
        head.load_state_dict(cast("Head", model.heads[name]).linear.state_dict())
    return plain


def _take(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def _take_experts(plain: Experts, moe: MoE) -> None:
    for task, router in plain.routers.items():
        _take(cast("nn.Linear", router), *moe.router_linear(task))
    for number, expert in enumerate(cast("list[Mlp]", plain.experts)):
        _take(expert.up, moe.up_weight[number].T, moe.up_bias[number])
        _take(expert.down, moe.down_weight[number].T, moe.down_bias[number])
