"""The float network as the integer network sees it: its linear layers and norms by the names of a bundle, with their scales."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import current_pathway
from moesaic.model.quantisation.scales import ActivationScale, Scales
from moesaic.spec.arithmetic import EXP_FRACTION_BITS

OCTAVE = math.log2(math.e) * (1 << EXP_FRACTION_BITS)  # units of 1/256 octave in a power of e
_PIXEL_SCALE, _PIXEL_OFFSET = 1 / 127.5, 0.5 / 127.5  # (pixel - 128) * scale + offset is the model's input


@dataclass(frozen=True)
class LinearLayer:
    """weight [out, in] and bias [out], float64; source: the scale of the input; output_scale: the value of a unit of the result."""

    weight: Tensor
    bias: Tensor
    source: ActivationScale
    output_scale: float


@dataclass(frozen=True)
class NormLayer:
    """gamma and beta [width], float64, and the scale of the result."""

    gamma: Tensor
    beta: Tensor
    result: ActivationScale


def position(model: M3ViT) -> Tensor:
    """The position embedding [T, D], float64, with the class token in its first row."""
    return model.position.double() + F.pad(model.class_token.double()[None], (0, 0, 0, len(model.position) - 1))


def norm_layers(model: M3ViT, scales: Scales) -> Iterator[tuple[str, NormLayer]]:
    """Every layer norm by its name."""

    def layer(norm: nn.LayerNorm, result: ActivationScale) -> NormLayer:
        return NormLayer(norm.weight.double(), norm.bias.double(), result)

    for i, (block, of) in enumerate(zip(model.blocks, scales.blocks)):
        yield f"blocks.{i}.norm1", layer(block.norm1, of.norm1)
        yield f"blocks.{i}.norm2", layer(block.norm2, of.norm2)
    yield "norm", layer(model.norm, scales.norm)


def linear_layers(model: M3ViT, scales: Scales) -> Iterator[tuple[str, LinearLayer]]:
    """Every linear layer by its name; of routers the rows of the experts kept, of experts those that any task keeps."""
    yield "patch_embed", _patch_embedding(model, scales.stream)
    for i, (block, of) in enumerate(zip(model.blocks, scales.blocks)):
        name = f"blocks.{i}"
        weights, biases = (part.double().chunk(3) for part in (block.attention.qkv.weight, block.attention.qkv.bias))
        for part, weight, bias in zip(("query", "key", "value"), weights, biases):
            yield f"{name}.{part}", LinearLayer(weight, bias, of.norm1, getattr(of, part))
        yield f"{name}.projection", _linear(block.attention.projection, ActivationScale(of.attention), scales.stream)
        if isinstance(block.mlp, MoE):
            for part, layer in _mixture(model, i, scales):
                yield f"{name}.{part}", layer
        else:
            yield f"{name}.mlp.up", _linear(block.mlp.up, of.norm2, of.gelu_index)
            yield f"{name}.mlp.down", _linear(block.mlp.down, ActivationScale(of.hidden), scales.stream)
    for task in model.configuration.task_names:
        yield f"heads.{task}", _linear(model.heads[task].linear, scales.norm, scales.outputs[task])


def _linear(layer: nn.Linear, source: ActivationScale, output_scale: float) -> LinearLayer:
    return LinearLayer(layer.weight.double(), layer.bias.double(), source, output_scale)


def _patch_embedding(model: M3ViT, stream: float) -> LinearLayer:
    c, layer = model.configuration, model.patch_embedding
    weight = layer.weight.double().view(c.width, c.patch * c.patch, 3)
    bias = layer.bias.double() + weight.sum((1, 2)) * _PIXEL_OFFSET
    weight = F.pad(weight, (0, 1)).flatten(1)  # the fourth byte of a pixel
    return LinearLayer(weight, bias, ActivationScale(_PIXEL_SCALE), stream)


def _mixture(model: M3ViT, i: int, scales: Scales) -> Iterator[tuple[str, LinearLayer]]:
    moe, of, pathway = model.blocks[i].mlp, scales.blocks[i], current_pathway(model)
    for task, blocks in pathway.items():
        weight, bias = (part.double()[list(blocks[i])] for part in moe.router_linear(task))
        yield f"router.{task}", LinearLayer(weight, bias, of.norm2, 1 / OCTAVE)
    up_weight, down_weight = (weight.double().mT for weight in (moe.up_weight, moe.down_weight))
    up_bias, down_bias = moe.up_bias.double(), moe.down_bias.double()
    for e in sorted({e for blocks in pathway.values() for e in blocks[i]}):
        yield f"experts.{e}.up", LinearLayer(up_weight[e], up_bias[e], of.norm2, of.gelu_index)
        down = LinearLayer(down_weight[e], down_bias[e], ActivationScale(of.hidden), scales.stream)
        yield f"experts.{e}.down", down
