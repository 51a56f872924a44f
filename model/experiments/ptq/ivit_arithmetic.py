"""The integer arithmetic of I-ViT: dyadic requantisation, Shiftmax, ShiftGELU and I-LayerNorm.

Li and Gu, "I-ViT: integer-only quantization for efficient vision transformer inference", ICCV 2023 (arXiv 2207.01405), with the
widths, iterations and constants of the authors' code (github.com/zkkli/I-ViT, `models/quantization_utils`). Integers are kept in
float64, which holds them exactly, where that code has float32. A real value is an integer times its scale.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LARGEST = 2.0**31 - 1
_SOFTMAX_SHIFT, _GELU_SHIFT = 15, 23
"""n of the paper's algorithms 1 and 2: exponentials have so many bits behind the point, and what is smaller counts as 2^-n."""
_GELU_SLOPE = 1.702
"""GELU(x) is taken for x times the sigmoid of 1.702 x."""
_ROOT_STEPS = 10
_NORM_BITS = 30


def symmetric_scale(largest: Tensor, bits: int) -> Tensor:
    """The scale at which the largest magnitude is the largest integer of so many bits; never 0."""
    return (largest / (2 ** (bits - 1) - 1)).clamp_min(torch.finfo(torch.float32).eps)


def clamped(x: Tensor, bits: int) -> Tensor:
    """Integers limited to so many bits, -2^(bits-1) included."""
    return x.clamp(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def quantised(x: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Real values rounded to integers of a scale that broadcasts."""
    return clamped(torch.round(x / scale), bits)


def times_dyadic(x: Tensor, ratio: Tensor) -> Tensor:
    """Integers times a positive ratio as a 31-bit multiplier and a shift, b / 2^c (the paper's equation 5), rounded."""
    mantissa, exponent = torch.frexp(ratio)
    multiplier = torch.floor(mantissa * 2.0**31 + 0.5)
    return torch.round(x * multiplier * torch.exp2(exponent - 31.0))


def requantised(x: Tensor, scale: Tensor, wanted: Tensor, bits: int) -> Tensor:
    """Integers of one scale as integers of another; scales broadcast."""
    return clamped(times_dyadic(x, scale / wanted), bits)


def requantised_sum(x: Tensor, scale: Tensor, other: Tensor, other_scale: Tensor, wanted: Tensor, bits: int) -> Tensor:
    """The sum of integers of two scales as integers of a third: how a branch is added to the residual stream."""
    return clamped(times_dyadic(x, scale / wanted) + times_dyadic(other, other_scale / wanted), bits)


def shift_exponential(x: Tensor, scale: Tensor, shift: int) -> Tensor:
    """exp(x * scale) as integers of the scale `scale / 2^shift`, for integers x of 0 or below; ShiftExp of the paper.

    log2(e) is 1 + 1/2 - 1/16, powers of two between integers lie on a straight line, and what is below 2^-shift is that.
    """
    x = x + torch.floor(x / 2) - torch.floor(x / 16)
    one = torch.floor(-1 / scale)
    x = torch.maximum(x, shift * one)
    whole = torch.floor(x / one)
    rest = x - one * whole
    return torch.floor((rest / 2 - one) * torch.exp2(shift - whole)).clamp_min(0)


def shiftmax(x: Tensor, scale: Tensor, bits: int) -> tuple[Tensor, float]:
    """Softmax over the last axis, as integers of `bits` bits and their scale; algorithm 1."""
    exponentials = shift_exponential(x - x.amax(-1, keepdim=True), scale, _SOFTMAX_SHIFT)
    factor = torch.floor(_LARGEST / exponentials.sum(-1, keepdim=True).clamp_max(_LARGEST))
    return torch.floor(exponentials * factor / 2.0 ** (32 - bits)), 2.0 ** (1 - bits)


def shift_gelu(x: Tensor, scale: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """GELU, as integers and their scale; algorithm 2. bits: of its sigmoid.

    Exponentials are taken relative to the largest value of a row. Where that is above 9.4, n ln(2) / 1.702, the sigmoid of
    its negative values goes towards 1/2.
    """
    slope = scale * _GELU_SLOPE
    largest = x.amax(-1, keepdim=True)
    exponentials = shift_exponential(x - largest, slope, _GELU_SHIFT)
    total = (exponentials + shift_exponential(-largest, slope, _GELU_SHIFT)).clamp_max(_LARGEST)
    sigmoid = torch.floor(exponentials * torch.floor(_LARGEST / total) / 2.0 ** (32 - bits))
    return x * sigmoid, scale * 2.0 ** (1 - bits)


def rounded_gelu(x: Tensor, scale: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """GELU in floating point, rounded to integers of the scale that `shift_gelu` has: to see what the latter costs."""
    unit = scale * 2.0 ** (1 - bits)
    return torch.round(F.gelu(x * scale) / unit), unit


def integer_root(x: Tensor) -> Tensor:
    """The square root of integers of 0 or above by ten Newton steps from 2^16 (equation 17): the floor, but 64 at least.

    Ten steps are too few for smaller roots, as those of a token whose channels hardly differ.
    """
    root = torch.full_like(x, 2.0**16)
    for _ in range(_ROOT_STEPS):
        root = torch.floor((root + torch.floor(x / root)) / 2)
    return root


def integer_layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Layer norm over the last axis of integers of any one scale, as integers and a scale for each channel.

    weight, bias: real, [D]; no weight may be 0.
    """
    centred = x - torch.round(x.mean(-1, keepdim=True))
    deviation = integer_root(centred.square().sum(-1, keepdim=True))
    normalised = torch.floor(centred * torch.floor(_LARGEST / deviation) / 2)
    unit = math.sqrt(x.shape[-1]) / 2.0**_NORM_BITS
    return normalised + torch.floor(bias / weight / unit), unit * weight
