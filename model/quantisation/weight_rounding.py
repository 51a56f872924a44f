"""The rounding of weights with error feedback: each weight makes up for the rounding of those before it.

Rounding every weight to the nearest integer is best for inputs that have nothing to do with one another. Those of a transformer do, so
the weights of a row are rounded one by one, and the error of each is passed on to the rest in proportion to how the inputs move together
on the calibration pictures: GPTQ (Frantar et al., ICLR 2023, algorithm 1). What remains in the mean of a result goes into the bias.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import Pathways
from moesaic.model.quantisation.calibration import Moments
from moesaic.model.quantisation.layers import LinearLayer, linear_layers, set_linear
from moesaic.model.quantisation.quantise import per_channel, quantise_linear, weight_options
from moesaic.model.quantisation.scales import Scales

_DAMPING = 0.01  # of the mean variance of the inputs, added to each: the share of GPTQ's section 3
_ROUNDING_VARIANCE = 1 / 12  # of an input, in its own units
_BLOCK = 64  # inputs whose errors are passed on together
_WITHIN = 0.49  # how far a stored weight may be from its integer, in units of the row


def with_rounding_feedback(model: M3ViT, scales: Scales, moments: Mapping[str, Moments], pathways: Pathways) -> M3ViT:
    """A copy of the model, with weights that `quantise_linear` rounds to the integers which error feedback chooses.

    moments: by point, see `Calibration`. pathways: each task's. The layers are those between the norms: queries, keys, values,
    projections, MLPs and the experts that a task uses; routers, heads and the patch embedding keep their weights. Each row keeps its
    scale. At 8 bits a weight keeps what lies between it and its integer, as far as that goes, so that training may go on from it.
    """
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, layer in linear_layers(model, scales, pathways):
            if point := _point_of_input(name):
                weight, bias = _with_feedback(layer, moments.get(point), **weight_options(name, scales))
                set_linear(rounded, name, weight, bias)
    return rounded


def _point_of_input(name: str) -> str:
    """The point at which `Calibration` has the moments of a layer's input; empty for the layers that keep their weights."""
    block, _, part = name.rpartition(".")
    prefix = ".".join(name.split(".")[:2])
    if part in ("query", "key", "value"):
        return f"{prefix}.norm1"
    if part == "projection":
        return f"{prefix}.attention"
    if part == "up":
        return f"{prefix}.norm2"
    return f"{block}.hidden" if part == "down" else ""


def _with_feedback(layer: LinearLayer, moments: Moments | None, bits: int, clip: bool) -> tuple[Tensor, Tensor]:
    """The weight [out, in] and bias [out], float64, that stand for a layer's integers after error feedback.

    moments: None if no token was seen, as in an expert that is never chosen.
    """
    if moments is None:
        return layer.weight, layer.bias
    largest = (1 << (bits - 1)) - 1
    step, offset = (per_channel(part, layer.weight) for part in (layer.input_scale.scale, layer.input_scale.offset))
    mean = (moments.mean.to(step.device) - offset) / step
    covariance = moments.covariance.to(step.device) / step[:, None] / step
    covariance.diagonal().add_(_ROUNDING_VARIANCE)
    covariance.diagonal().add_(_DAMPING * covariance.diagonal().mean())
    exact = quantise_linear(layer, bits, clip, integer=False)
    units, scale = exact.weight, exact.ratio * per_channel(layer.output_scale.scale, layer.bias)
    integers, before = round_with_feedback(units, covariance, largest)
    within = integers + (before - integers).clamp(-_WITHIN, _WITHIN)
    kept = integers if clip else torch.where(integers.abs() < largest, within, integers)
    unit = scale[:, None] / step
    bias = layer.bias + layer.weight @ offset + ((units - integers) * scale[:, None]) @ mean
    centre = per_channel(layer.input_scale.centre, layer.weight)
    # quantise_linear adds what the integers lack at the usual input; that of the weights kept is not part of the layer
    bias = bias - ((kept - integers) * unit) @ (centre - offset)
    return kept * unit, bias - (kept * unit) @ offset


def round_with_feedback(units: Tensor, covariance: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """Integers of at most `largest` for weights [out, in] in units of their rows, and the weights as they were when it was their turn.

    covariance: of the inputs, [in, in], positive definite. Inputs take turns in the order of their variance. A weight that is
    the largest of its row, within half a unit of `largest` or beyond, becomes `largest`, so that the row keeps its scale.
    """
    order = covariance.diagonal().argsort(descending=True, stable=True)
    factor = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(covariance[order][:, order])), upper=True
    )
    left = units.mT[order].contiguous()  # a row for each input: what takes turns lies together in memory
    before, integers = torch.empty_like(left), torch.empty_like(left)
    ends, fixed = left.abs() >= largest - 0.5, left.sign() * largest
    for first in range(0, len(left), _BLOCK):
        last = min(first + _BLOCK, len(left))
        part, own = left[first:last], factor[first:last, first:last]
        errors = torch.empty_like(part)
        for i, turn in enumerate(range(first, last)):
            before[turn] = part[i]
            integers[turn] = torch.where(ends[turn], fixed[turn], part[i].round().clamp(-largest, largest))
            errors[i] = (before[turn] - integers[turn]) / own[i, i]
            part[i + 1 :].addr_(own[i, i + 1 :], errors[i], alpha=-1)
        left[last:] -= factor[first:last, last:].mT @ errors
    places = order.argsort()
    return integers[places].mT, before[places].mT
