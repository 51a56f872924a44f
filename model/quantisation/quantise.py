"""Weights to integers: from the float network and its scales to the integer tensors of a bundle.

Integers are held in float64 tensors, and gradients pass straight through the rounding (see
`moesaic.model.quantisation.straight_through`), so that quantisation-aware training runs exactly what an export writes, to the bit.
"""

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import Tensors
from moesaic.model.pathways.pathway import Pathways
from moesaic.model.quantisation.gelu import gelu_table
from moesaic.model.quantisation.layers import OCTAVE, LinearLayer, NormLayer, linear_layers, norm_layers, position
from moesaic.model.quantisation.scales import INT16_MAX, BlockScales, Scales
from moesaic.model.quantisation.straight_through import round_nearest
from moesaic.spec.arithmetic import MEAN_SHIFT, NORM_FRACTION_BITS, fixed_point_multiplier
from moesaic.spec.bundle import Task, weight_bits
from moesaic.spec.heads import pool, pools_first

BIAS_MAX = 1 << 25  # half the range of the 27-bit accumulator; the other half is left for the products
_NORM_SHIFT_MAX = 24
_TOO_LARGE = "its weights are out of proportion; train on with weight decay or a lower learning rate"
_RATIO_END = 1 << 15  # fixed_point_multiplier takes ratios below this
_CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)  # fractions of a row's range that a search tries


@dataclass(frozen=True)
class LinearIntegers:
    """A layer's weight [out, in] and bias [out], and the factor of its sums, ratio = multiplier / 2**shift, each [out]; all float64."""

    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    shift: Tensor
    ratio: Tensor


@dataclass(frozen=True)
class NormIntegers:
    """A norm's gamma and beta, float64 [width], its shift, and unit = 2**-shift, both scalars."""

    gamma: Tensor
    beta: Tensor
    shift: Tensor
    unit: Tensor


def quantise_linear(layer: LinearLayer, bits: int = 8, clip: bool = False, integer: bool = True) -> LinearIntegers:
    """The integers of a linear layer: weights of `bits` bits, biases of magnitude at most BIAS_MAX.

    The weights of a row have one scale: the row's largest magnitude divided by the largest integer, or with `clip` the fraction of
    this that has the least mean squared error; it is raised where the bias would otherwise exceed BIAS_MAX. With integer=False,
    weight, bias and ratio are not rounded.
    OverflowError if a weight is NaN or too large for the unit of the result.
    """
    source, result, largest = layer.input_scale, layer.output_scale, (1 << (bits - 1)) - 1
    step, offset, centre = (per_channel(part, layer.weight) for part in (source.scale, source.offset, source.centre))
    folded = layer.weight * step
    bias = layer.bias + layer.weight @ offset - per_channel(result.offset, layer.bias)
    unit = per_channel(result.scale, layer.bias)
    with torch.no_grad():
        scale = folded.abs().amax(1) / largest
        if clip:
            scale = _clipped(folded, scale, largest)
        scale = torch.maximum(scale, bias.abs() / BIAS_MAX)
        scale = torch.where(scale > 0, scale, unit)
    ratio = scale / unit
    weight, bias = folded / scale[:, None], bias / scale
    if not integer:
        return LinearIntegers(weight, bias, ratio, torch.zeros_like(ratio), ratio)
    if not ratio.max() < _RATIO_END:
        raise OverflowError(f"a weight is {ratio.max():.3g} times the unit of the result, {_RATIO_END} is too much")
    multiplier, shift = fixed_point_multiplier(ratio.cpu().numpy())
    integers = round_nearest(weight).clamp(-largest, largest)
    usual = torch.where(step > 0, (centre - offset) / step, 0.0)  # the step of the byte that pads a pixel is 0
    return LinearIntegers(
        weight=integers,
        bias=round_nearest(bias + (weight - integers) @ usual).clamp(-2 * BIAS_MAX, 2 * BIAS_MAX),
        **_on(ratio.device, multiplier=multiplier, shift=shift, ratio=np.ldexp(multiplier.astype(np.float64), -shift)),
    )


def real_linear(layer: LinearLayer, integers: LinearIntegers) -> tuple[Tensor, Tensor]:
    """The weight [out, in] and bias [out], float64, that a layer's integers stand for.

    Not of the patch embedding: it has inputs that stand for nothing.
    """
    step, offset = (per_channel(part, layer.weight) for part in (layer.input_scale.scale, layer.input_scale.offset))
    scale, centre = (per_channel(part, layer.bias) for part in (layer.output_scale.scale, layer.output_scale.offset))
    unit = integers.ratio * scale
    weight = integers.weight * unit[:, None] / step
    return weight, integers.bias * unit + centre - weight @ offset


def _on(device: torch.device, **values: np.ndarray) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value, np.float64)).to(device) for name, value in values.items()}


def per_channel(values: np.ndarray | float, like: Tensor) -> Tensor:
    """Values as a float64 tensor with one element per column of `like` (its last dimension), on the same device."""
    return torch.from_numpy(np.broadcast_to(np.asarray(values, np.float64), like.shape[-1:]).copy()).to(like.device)


def _clipped(rows: Tensor, scale: Tensor, largest: int) -> Tensor:
    """For each of rows [out, in] the scale, at most `scale` [out], with the least mean squared error of integers up to `largest`."""
    scales = torch.stack([scale * clip for clip in _CLIPS]).clamp(min=torch.finfo(rows.dtype).tiny)
    errors = [
        ((rows / s[:, None]).round().clamp(-largest, largest) * s[:, None] - rows).square().mean(1) for s in scales
    ]
    best = scales.gather(0, torch.stack(errors).argmin(0)[None])[0]
    return torch.where(scale > 0, best, scale)


def quantise_norm(layer: NormLayer, integer: bool = True) -> NormIntegers:
    """The integers of a layer norm: gamma and beta of 16 bits, with the largest shift for which both fit.

    With integer=False, gamma and beta are not rounded.
    """
    scale, offset = (per_channel(part, layer.gamma) for part in (layer.result.scale, layer.result.offset))
    gamma, beta = layer.gamma / scale, (layer.beta - offset) / scale
    if not integer:
        shift = torch.tensor(float(NORM_FRACTION_BITS))
        return NormIntegers(gamma, beta, shift, torch.tensor(2.0**-NORM_FRACTION_BITS, dtype=torch.float64))
    largest = max(gamma.detach().abs().max().item(), beta.detach().abs().max().item())
    shift = NORM_FRACTION_BITS + math.floor(math.log2(INT16_MAX / largest)) if largest else _NORM_SHIFT_MAX
    shift = min(max(shift, 0), _NORM_SHIFT_MAX)
    unit = 2.0 ** (shift - NORM_FRACTION_BITS)
    gamma, beta = (round_nearest(part * unit).clamp(-INT16_MAX, INT16_MAX) for part in (gamma, beta))
    return NormIntegers(gamma, beta, **_on(gamma.device, shift=np.asarray(shift), unit=np.asarray(2.0**-shift)))


def quantise_position(model: M3ViT, stream: float, integer: bool = True) -> Tensor:
    """The position embedding, float64 [T, D], in units of the residual stream; not rounded with integer=False."""
    units = position(model) / stream
    return round_nearest(units) if integer else units


def score_ratio(scales: BlockScales, head_dim: int) -> float:
    """The factor that turns the integer product of a query and a key into a score in units of 1/256 octave."""
    return scales.score * OCTAVE / math.sqrt(head_dim)


def mean_ratio(rows: int) -> float:
    """The factor that `moesaic.spec.arithmetic.mean_of_rows` takes for a mean of so many rows in their own unit."""
    return 2.0**MEAN_SHIFT / rows


class WeightOptions(TypedDict):
    """Arguments of `quantise_linear` that depend on the layer."""

    bits: int
    clip: bool


def require_score_ratios(scales: Scales, head_dim: int) -> None:
    """Raise UserError, which names the first block whose queries and keys are too large for scores in 1/256 octave."""
    for i, block in enumerate(scales.blocks):
        ratio = score_ratio(block, head_dim)
        if not ratio < _RATIO_END:
            units = f"a product of query and key is {ratio:.3g} units of a score, {_RATIO_END} is too much"
            raise UserError(f"layer blocks.{i}.scores has no integers, {units}: {_TOO_LARGE}")


def weight_options(name: str, scales: Scales) -> WeightOptions:
    """The arguments of `quantise_linear` for the layer called `name`, according to the scales and their settings."""
    bits = weight_bits(name, scales.four_bit_experts)
    return {"bits": bits, "clip": scales.settings.clip_weights or bits < 8}


def quantise(model: M3ViT, scales: Scales, pathways: Pathways) -> tuple[dict[str, Task], Tensors]:
    """The tasks (without metrics) and all integer tensors of the model, as moesaic.spec.bundle defines them.

    pathways: each task's; experts that no task uses are left out. UserError names a layer whose weights are too large for integers.
    """
    c, tensors = model.configuration, {}

    def put(name: str, dtype: type, value: Tensor) -> None:
        tensors[name] = value.cpu().numpy().astype(dtype)

    with torch.no_grad():
        put("position", np.int16, quantise_position(model, scales.stream))
        for name, layer in linear_layers(model, scales, pathways):
            integers = quantise_layer(name, layer, scales)
            put(f"{name}.weight", np.int8, integers.weight)
            put(f"{name}.bias", np.int32, integers.bias)
            put(f"{name}.multiplier", np.uint16, integers.multiplier)
            put(f"{name}.shift", np.uint8, integers.shift)
        for name, layer in norm_layers(model, scales):
            integers = quantise_norm(layer)
            put(f"{name}.gamma", np.int16, integers.gamma)
            put(f"{name}.beta", np.int16, integers.beta)
            put(f"{name}.shift", np.uint8, integers.shift)
    for i, block in enumerate(scales.blocks):
        multiplier, shift = fixed_point_multiplier(score_ratio(block, c.head_dim))
        tensors[f"blocks.{i}.scores.multiplier"] = multiplier.astype(np.uint16)
        tensors[f"blocks.{i}.scores.shift"] = shift.astype(np.uint8)
        tensors[f"blocks.{i}.attention_shift"] = np.asarray(block.attention_shift, np.uint8)
        kind = "experts" if c.is_moe(i) else "mlp"
        if c.is_moe(i):
            tensors[f"blocks.{i}.score_shift"] = np.asarray(block.score_shift, np.uint8)
        tensors[f"blocks.{i}.{kind}.table"] = gelu_table(block.gelu_index, block.hidden)
    for task in c.tasks:
        if pools_first(task):
            multiplier, shift = fixed_point_multiplier(mean_ratio(c.architecture.patches))
            tensors[f"{pool(task.name)}.multiplier"] = multiplier.astype(np.uint16)
            tensors[f"{pool(task.name)}.shift"] = shift.astype(np.uint8)
    tasks = {name: c.bundle_task(name, pathways[name], scales.outputs[name]) for name in c.task_names}
    return tasks, tensors


def quantise_layer(name: str, layer: LinearLayer, scales: Scales) -> LinearIntegers:
    """`quantise_linear` with the options for the layer called `name`; its OverflowError becomes a UserError that names the layer."""
    try:
        return quantise_linear(layer, **weight_options(name, scales))
    except OverflowError as error:
        raise UserError(f"layer {name} has no integers, {error}: {_TOO_LARGE}") from None
