"""The integer arithmetic of moesaic.spec.arithmetic on PyTorch tensors, with gradients straight through every rounding.

Integers are held exactly in float64 tensors: every product and sum is below 2**53. In the forward pass each function returns the
integers of its namesake in moesaic.spec.arithmetic; in the backward pass, the gradient of the same function without rounding (Bengio
et al. 2013, "Estimating or propagating gradients through stochastic neurons"). A saturated value passes no gradient.

With integer=False, a function computes the underlying real-valued function, which neither rounds nor saturates.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.model.network.moe import top_k_mask
from moesaic.model.quantisation.scales import ActivationScale
from moesaic.spec.arithmetic import (
    ACCUMULATOR_CLIP_BITS,
    EXP_FRACTION_BITS,
    EXP_ONE,
    MEAN_SHIFT,
    NORM_FRACTION_BITS,
    PROBABILITY_MAX,
    PROBABILITY_ROUNDING,
    SCORE_BITS,
    TABLE_ENTRIES,
    TABLE_INDEX_BITS,
    exp2_q16,
    reciprocal,
    reciprocal_square_root,
)

_OCTAVE = 1 << EXP_FRACTION_BITS
_DISTANCES = np.arange(1 << 16)  # between two int16 numbers
_EXPONENTIAL = torch.from_numpy(exp2_q16(_DISTANCES).astype(np.float64))
_ROUNDING = torch.from_numpy(PROBABILITY_ROUNDING.astype(np.float64))
_UNROUNDED = torch.from_numpy((PROBABILITY_MAX * exp2_q16(_DISTANCES)).astype(np.float64))


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, exact: Tensor) -> Tensor:
        return exact

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(value: Tensor, exact: Tensor) -> Tensor:
    """Returns `exact`, but passes its gradient to `value`, which has the same shape."""
    return _StraightThrough.apply(value, exact.detach())


def round_nearest(value: Tensor) -> Tensor:
    """Values of any shape rounded to the nearest integer, halves to even: the rounding of parameters."""
    return straight_through(value, value.round())


def round_half_up(value: Tensor) -> Tensor:
    """Values of any shape rounded to the nearest integer, halves up, as in moesaic.spec.arithmetic.round_shift."""
    return straight_through(value, (value + 0.5).floor())


def saturate(value: Tensor, bits: int, integer: bool = True) -> Tensor:
    """Values of any shape clipped to the range of a signed integer of `bits` bits."""
    return value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if integer else value


def requantise(total: Tensor, ratio: Tensor | float, integer: bool = True) -> Tensor:
    """Accumulators times `ratio`, which is multiplier / 2**shift, rounded halves up; the shapes broadcast."""
    if not integer:
        return total * ratio
    return round_half_up(saturate(total, ACCUMULATOR_CLIP_BITS) * ratio)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, unit: Tensor, integer: bool = True) -> Tensor:
    """Layer norm of x [rows, width], in the int8 range.

    gamma, beta: [width]. unit: 2**-shift, the value of one unit of gamma * 2**10 and of beta.
    """
    width = x.shape[1]
    total = x.sum(1, keepdim=True)
    centred = width * x - total
    variance = width * x.square().sum(1, keepdim=True) - total.square()
    one = 1 << NORM_FRACTION_BITS
    y = one * centred / variance.clamp(min=1).sqrt()
    if integer:
        scale = _of_rows(reciprocal_square_root, variance)
        y = saturate(straight_through(y, (centred * scale + 0.5).floor()), 16)
    scaled = (y * gamma + beta * one) * unit
    return saturate(round_half_up(scaled), 8) if integer else scaled


def softmax(scores: Tensor, integer: bool = True) -> Tensor:
    """Unnormalised base-2 softmax over the columns, 0..127, of scores [..., rows, columns] in 1/256 octave."""
    distance = scores.detach().amax(-1, keepdim=True) - scores
    probability = PROBABILITY_MAX * torch.exp2(-distance / _OCTAVE)
    if integer:
        columns = torch.arange(scores.shape[-1], device=scores.device) % len(_ROUNDING)
        unrounded = _UNROUNDED.to(scores.device)[distance.detach().long()] + _ROUNDING.to(scores.device)[columns]
        probability = straight_through(probability, (unrounded / EXP_ONE).floor())
    return probability


def attend(probability: Tensor, value: Tensor, shift: int, integer: bool = True) -> Tensor:
    """Mean of value [..., columns, channels], weighted by unnormalised probabilities [..., rows, columns], times 2**shift.

    Returns [..., rows, channels], in the int8 range.
    """
    total, weight = probability @ value, probability.sum(-1, keepdim=True)
    mean = total / weight * 2.0**shift
    if not integer:
        return mean

    def divide(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        multiplier, bits = reciprocal(total)
        return multiplier, np.maximum(15 + bits - shift, 0)

    scale = _of_rows(divide, weight)
    return saturate(straight_through(mean, (total * scale + 0.5).floor()), 8)


def gelu(
    index: Tensor, table: Tensor, inputs: ActivationScale, hidden: ActivationScale, integer: bool = True
) -> Tensor:
    """GELU of what `index` stands for, in the units of `hidden`, -127..127, looked up in table [1024] at the index saturated to 10 bits.

    index: integers of any shape. inputs, hidden: scale and offset, one number each, of the index and of the result.
    """

    def real(index: Tensor) -> Tensor:
        return (F.gelu(index * float(inputs.scale) + float(inputs.offset)) - float(hidden.offset)) / float(hidden.scale)

    if not integer:
        return real(index)
    index = saturate(index, TABLE_INDEX_BITS)
    exact = table[index.detach().long() + TABLE_ENTRIES // 2]
    largest = float(torch.iinfo(torch.int8).max)
    return straight_through(real(index).clamp(-largest, largest), exact)


def route(logits: Tensor, top_k: int, integer: bool = True) -> tuple[Tensor, Tensor]:
    """The choice, bool [tokens, experts], and the scores, 0..65,535, for router logits [tokens, experts] in 1/256 octave."""
    distance = logits.detach().amax(1, keepdim=True) - logits
    exponential = EXP_ONE * torch.exp2(-distance / _OCTAVE)
    if integer:
        exponential = straight_through(exponential, _EXPONENTIAL.to(logits.device)[distance.detach().long()])
    total = exponential.sum(1, keepdim=True)
    scores = EXP_ONE * exponential / total
    if integer:

        def divide(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            multiplier, bits = reciprocal(total)
            return multiplier, bits - 1

        exact = (exponential * _of_rows(divide, total) + 0.5).floor().clamp(max=EXP_ONE - 1)
        scores = straight_through(scores, exact)
    return top_k_mask(logits.detach(), min(top_k, logits.shape[1])), scores


def weigh_by_score(value: Tensor, score: Tensor, shift: int, integer: bool = True) -> Tensor:
    """Values times scores, where the score 65,536 stands for 2**-shift; the shapes broadcast."""
    weighed = value * score / (1 << (SCORE_BITS - shift))
    return saturate(round_half_up(weighed), 16) if integer else weighed


def mean_of_rows(value: Tensor, ratio: float, integer: bool = True) -> Tensor:
    """The mean over the rows of values [..., rows, columns]. ratio: multiplier / 2**shift."""
    unit = 2**MEAN_SHIFT
    total = (straight_through(value / unit, (value / unit).floor()) if integer else value / unit).sum(-2)
    return saturate(requantise(total, ratio, integer), 16, integer)


def _of_rows(function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], values: Tensor) -> Tensor:
    """multiplier / 2**shift for integers of any shape, where a function of moesaic.spec.arithmetic returns (multiplier, shift)."""
    multiplier, shift = function(values.detach().cpu().numpy().astype(np.int64))
    return torch.from_numpy(np.ldexp(multiplier.astype(np.float64), -shift)).to(values.device)
