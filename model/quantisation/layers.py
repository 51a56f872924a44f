"""The float network as the integer network sees it: linear layers and norms under their names in a bundle, with their scales."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moesaic.errors import InternalError
from moesaic.model.network.heads import ClassificationHead, FeaturesHead, Head
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import Block, M3ViT
from moesaic.model.pathways.pathway import Pathways
from moesaic.model.quantisation.residual_stream import position_means, whole_position
from moesaic.model.quantisation.scales import ActivationScale, Scales
from moesaic.spec.arithmetic import EXP_FRACTION_BITS
from moesaic.spec.heads import SHARED_NORM, final_norm, head_layers, head_task

OCTAVE = math.log2(math.e) * (1 << EXP_FRACTION_BITS)  # a factor of e in units of 1/256 octave
_PIXEL_ORIGIN = 128.0  # the machine's pixels are int8, pixel - 128


@dataclass(frozen=True)
class LinearLayer:
    """A layer's weight [out, in] and bias [out], float64, with the scales of its input [in] and of its result [out]."""

    weight: Tensor
    bias: Tensor
    input_scale: ActivationScale
    output_scale: ActivationScale


@dataclass(frozen=True)
class NormLayer:
    """A norm's gamma and beta [width], float64. result: the scale of its result."""

    gamma: Tensor
    beta: Tensor
    result: ActivationScale


def position(model: M3ViT) -> Tensor:
    """The position embedding [T, D], float64, with the class token in its first row, without the mean of each row."""
    return (whole_position(model) - position_means(model)).double()


def head_linears(model: M3ViT, task: str) -> list[nn.Linear | None]:
    """The linear layers of a task's head in the order of `moesaic.spec.heads.head_layers`; None stands for the identity.

    InternalError for a head that has no integer form.
    """
    head = model.heads[task]
    if isinstance(head, Head):
        return [head.linear]
    if isinstance(head, ClassificationHead):
        return [layer for layer in head.layers if isinstance(layer, nn.Linear)]
    if isinstance(head, FeaturesHead):
        return [None]
    raise InternalError(f"the head of {task} is a {type(head).__name__}, which has no integer form")


def norm_layers(model: M3ViT, scales: Scales) -> Iterator[tuple[str, NormLayer]]:
    """Every layer norm by name. InternalError if the model has no final norm."""

    def layer(norm: nn.Module, result: ActivationScale) -> NormLayer:
        if not isinstance(norm, nn.LayerNorm):
            raise InternalError("a model without a final norm has no integer form")
        return NormLayer(norm.weight.double(), norm.bias.double(), result)

    for i, (block, of) in enumerate(zip(model.blocks, scales.blocks)):
        yield f"blocks.{i}.norm1", layer(block.norm1, of.norm1)
        yield f"blocks.{i}.norm2", layer(block.norm2, of.norm2)
    for name, result in scales.final_norms.items():
        head = None if name == SHARED_NORM else model.heads[head_task(name)]
        own = head.norm if isinstance(head, FeaturesHead | ClassificationHead) else None
        yield name, layer(own if isinstance(own, nn.LayerNorm) else model.norm, result)


def linear_layers(model: M3ViT, scales: Scales, pathways: Pathways) -> Iterator[tuple[str, LinearLayer]]:
    """Every linear layer by name: of a router, the rows of its task's experts; of the experts, those that any task uses."""
    stream = ActivationScale(scales.stream)
    yield "patch_embed", _patch_embedding(model, stream)
    for i, (block, of) in enumerate(zip(model.blocks, scales.blocks)):
        name = f"blocks.{i}"
        weights, biases = (part.double().chunk(3) for part in (block.attention.qkv.weight, block.attention.qkv.bias))
        for part, weight, bias in zip(("query", "key", "value"), weights, biases):
            result = ActivationScale(of.query) if part == "query" else getattr(of, part)
            yield f"{name}.{part}", LinearLayer(weight, bias, of.norm1, result)
        yield f"{name}.projection", _linear(block.attention.projection, of.attention, stream)
        if isinstance(block.mlp, MoE):
            for part, layer in _mixture(block.mlp, i, scales, pathways):
                yield f"{name}.{part}", layer
        else:
            yield f"{name}.mlp.up", _linear(block.mlp.up, of.norm2, of.up(0))
            yield f"{name}.mlp.down", _linear(block.mlp.down, of.down(0), stream)
    c = model.configuration
    for task in c.task_names:
        described = c.bundle_task(task, c.whole_pathways[task])
        source, unit = scales.final_norms[final_norm(task, described)], ActivationScale(scales.outputs[task])
        for layer, linear in zip(head_layers(c.architecture, task, described), head_linears(model, task)):
            yield layer.name, _identity(model, source, unit) if linear is None else _linear(linear, source, unit)


def set_linear(model: M3ViT, name: str, weight: Tensor, bias: Tensor) -> None:
    """Set the weight [out, in] and bias [out] of the layer between the norms that `linear_layers` calls `name`."""
    _, index, *inner, part = name.split(".")
    block = cast("Block", model.blocks[int(index)])
    attention, mlp = block.attention, block.mlp
    if part in ("query", "key", "value"):
        width = model.configuration.width
        first = ("query", "key", "value").index(part) * width
        targets = attention.qkv.weight[first : first + width], attention.qkv.bias[first : first + width]
    elif part == "projection":
        targets = attention.projection.weight, attention.projection.bias
    elif isinstance(mlp, MoE):
        e = int(inner[-1])
        weights, biases = (mlp.up_weight, mlp.up_bias) if part == "up" else (mlp.down_weight, mlp.down_bias)
        targets = weights[e].mT, biases[e]
    else:
        linear = mlp.up if part == "up" else mlp.down
        targets = linear.weight, linear.bias
    for target, value in zip(targets, (weight, bias)):
        target.copy_(value)


def _linear(layer: nn.Linear, input_scale: ActivationScale, output_scale: ActivationScale) -> LinearLayer:
    return LinearLayer(layer.weight.double(), layer.bias.double(), input_scale, output_scale)


def _identity(model: M3ViT, input_scale: ActivationScale, output_scale: ActivationScale) -> LinearLayer:
    """The layer that brings int8 features with a scale per channel to int16 with one scale, so that DRAM holds their real values."""
    width = model.configuration.width
    weight = torch.eye(width, dtype=torch.float64, device=model.device)
    return LinearLayer(weight, weight.new_zeros(width), input_scale, output_scale)


def _patch_embedding(model: M3ViT, stream: ActivationScale) -> LinearLayer:
    c, layer = model.configuration, model.patch_embedding
    weight = layer.weight.double().view(c.width, c.patch * c.patch, 3)
    scale, offset = c.input.affine(_PIXEL_ORIGIN)
    bias = layer.bias.double() + weight.sum(1) @ torch.from_numpy(offset).to(weight.device)
    weight = F.pad(weight, (0, 1)).flatten(1)  # zeros for the fourth byte of a pixel
    pixels = ActivationScale(np.tile(np.append(scale, 0.0), c.patch * c.patch))
    return LinearLayer(weight, bias, pixels, stream)


def _mixture(moe: MoE, i: int, scales: Scales, pathways: Pathways) -> Iterator[tuple[str, LinearLayer]]:
    of, kept = scales.blocks[i], {task: one.pathway[i] for task, one in pathways.items() if i in one.pathway}
    for task, experts in kept.items():
        weight, bias = (part.double()[list(experts)] for part in moe.router_linear(task))
        yield f"router.{task}", LinearLayer(weight, bias, of.norm2, ActivationScale(1 / OCTAVE))
    up_weight, down_weight = (weight.double().mT for weight in (moe.up_weight, moe.down_weight))
    up_bias, down_bias = moe.up_bias.double(), moe.down_bias.double()
    for e in sorted({e for experts in kept.values() for e in experts}):
        yield f"experts.{e}.up", LinearLayer(up_weight[e], up_bias[e], of.norm2, of.up(e))
        down = LinearLayer(down_weight[e], down_bias[e], of.down(e), ActivationScale(scales.update(i)))
        yield f"experts.{e}.down", down
