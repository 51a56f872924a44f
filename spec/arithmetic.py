"""The integer arithmetic of moesaic: every rounding, saturation and table, defined once.

All functions take and return numpy integer arrays (int64 unless stated otherwise) and work elementwise. The hardware and the C++
implement the same functions bit for bit.

Widths. An accumulator holds the sum of at most 4,096 products of [-127, 127] x [-128, 127], plus a bias. Without the bias, |sum| <=
4,096 * 16,256 = 66,584,576 < 2**26 = 67,108,864, so the 27-bit clip before the requantising multiply never clips it.
Attention: 1,201 keys * 127 * 127 = 19,370,929 < 2**26; the softmax sum is at most 1,201 * 127 = 152,527 < 2**18.
Layer norm: width * sum(x**2) <= 1,024 * 1,024 * 2**30 = 2**50 for widths up to 1,024.
"""

from __future__ import annotations

import numpy as np

ARITHMETIC = 2
"""Version of this module's results; a configuration's fingerprint covers it, and bundles of another version are refused."""

ACCUMULATOR_CLIP_BITS = 27
MULTIPLIER_BITS = 16
SHIFT_MAX = 47
"""Largest shift that fixed_point_multiplier gives; requantise takes larger ones."""
TABLE_INDEX_BITS = 10
TABLE_ENTRIES = 1 << TABLE_INDEX_BITS
EXP_FRACTION_BITS = 8
EXP_ONE = 1 << 16
PROBABILITY_MAX = 127
PROBABILITY_ROUNDING = (39 * np.arange(64, dtype=np.int64) % 64 * 2 + 1) << 9
"""What is added to 65,536 times a probability before its fraction is dropped, by column modulo 64.

A fixed half would round every probability below 1/254 of the row's largest to 0. Of many columns with small probabilities, these keep
as many as their sum says, evenly spread over any run of columns and over columns at equal distances, such as those of an image's column
of patches: ordered dithering (Bayer 1973) by multiples of the golden ratio, here 39/64 (Weyl's sequence).
"""
MEAN_SHIFT = 2
SCORE_BITS = 16
SCORE_SHIFT_MAX = 7
NORM_FRACTION_BITS = 10
NORM_WIDTH_MAX = 1024
NORM_SHIFT_MAX = 31

EXP2_TABLE = np.round(EXP_ONE * 2.0 ** (-np.arange(1 << EXP_FRACTION_BITS) / (1 << EXP_FRACTION_BITS))).astype(np.int64)
"""2**(-f/256) in Q0.16 for f = 0..255, int64 (256,); entry 0 is 65,536."""


def saturate(value: np.ndarray, bits: int) -> np.ndarray:
    """Clip integers of any shape to the range of a signed integer of `bits` bits; shape and dtype are kept."""
    return np.clip(value, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def round_shift(value: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """value / 2**shift, rounded to nearest, halves towards plus infinity. The one rounding rule of moesaic.

    value, shift: integers whose shapes broadcast; the result, int64, has the broadcast shape. shift is 0 (exact) or positive:
    (value + 2**(shift - 1)) >> shift with an arithmetic shift.
    """
    value = np.asarray(value, np.int64)
    shift = np.asarray(shift, np.int64)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return (value + half) >> shift


def requantise(accumulator: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """round_shift(clip27(accumulator) * multiplier, shift).

    accumulator: sum of products plus bias. multiplier: 0..65,535. shift: 0..63; from 44 on the result is 0. All are integers whose
    shapes broadcast; the result, int64, is not saturated yet.
    The product of 27 signed and 16 unsigned bits fits one 27x18 DSP multiplier.
    """
    return round_shift(saturate(accumulator, ACCUMULATOR_CLIP_BITS) * np.asarray(multiplier, np.int64), shift)


def mean_of_rows(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The mean of int16 rows, int64 [..., columns], values of int16.

    x: [..., rows, columns], values of int16, fewer than 8,192 rows. multiplier, shift: of `requantise`, about 2**MEAN_SHIFT / rows.
    saturate16(requantise(sum over rows of x >> MEAN_SHIFT)): the machine adds up 64 times the high bytes, and the low ones without
    their last bits, so that a row's weight is 8 bits. What is cut off is the same in all channels on average.
    """
    return saturate(requantise((np.asarray(x, np.int64) >> MEAN_SHIFT).sum(-2), multiplier, shift), 16)


def exp2_q16(distance: np.ndarray) -> np.ndarray:
    """2**(-distance/256) in Q0.16, int64 0..65,536. distance: integers >= 0 of any shape, in units of 1/256 octave."""
    distance = np.asarray(distance, np.int64)
    octaves = np.minimum(distance >> EXP_FRACTION_BITS, 18)
    return round_shift(EXP2_TABLE[distance & ((1 << EXP_FRACTION_BITS) - 1)], octaves)


def reciprocal(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mantissa, bits) with 1/value ~ mantissa / 2**(15 + bits), for 0 <= value < 2**32; both int64 of value's shape.

    bits is the bit length of value; mantissa = min(65,535, floor(2**(15 + bits) / value)), in [2**15, 2**16).
    A value of 0 gives (0, 0).
    """
    value = np.asarray(value, np.int64)
    bits = bit_length(value)
    quotient = (np.int64(1) << (15 + bits)) // np.maximum(value, 1)
    return np.where(value > 0, np.minimum(quotient, 65_535), 0), bits


def bit_length(value: np.ndarray) -> np.ndarray:
    """Number of bits of each non-negative integer below 2**62, int64 of the same shape; 0 for 0."""
    value = np.asarray(value, np.int64)
    bits = np.zeros_like(value)
    rest = value.copy()
    for step in (32, 16, 8, 4, 2, 1):
        big = rest >= (np.int64(1) << step)
        bits += np.where(big, step, 0)
        rest = np.where(big, rest >> step, rest)
    return bits + (rest > 0)


def isqrt(value: np.ndarray) -> np.ndarray:
    """Floor of the square root, int64 of the same shape, for 0 <= value < 2**52.

    There, IEEE 754's correctly rounded square root never reaches the next integer: below n**2 the root is at least 1 / 2n, hence more than
    2**-27, below n, and half of the distance of two neighbours is 2**-28 at most.
    """
    return np.sqrt(np.asarray(value, np.float64)).astype(np.int64)


def softmax_probability(exponential: np.ndarray) -> np.ndarray:
    """Exponentials in Q0.16 (0..65,536), [..., columns], as unnormalised probabilities, int64 0..127 of the same shape.

    (127 * exponential + PROBABILITY_ROUNDING[column modulo 64]) >> 16.
    """
    exponential = np.asarray(exponential, np.int64)
    rounding = np.resize(PROBABILITY_ROUNDING, exponential.shape[-1])
    return (exponential * PROBABILITY_MAX + rounding) >> 16


def softmax_rows(scores: np.ndarray, maximum: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unnormalised softmax over the last axis.

    scores: (rows, columns), values of int16 in units of 1/256 octave. maximum: (rows,), the row maxima (a score above it counts as
    equal).
    Returns int64 arrays: probabilities (rows, columns) 0..127, and the multiplier (rows,) and shift (rows,) that divide a row by
    its sum.
    """
    distance = np.maximum(np.asarray(maximum, np.int64)[:, None] - np.asarray(scores, np.int64), 0)
    probability = softmax_probability(exp2_q16(distance))
    multiplier, bits = reciprocal(probability.sum(axis=1))
    return probability, multiplier, 15 + bits


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, shift: int) -> np.ndarray:
    """Layer norm of int16 rows to int8.

    x: (rows, width), values of int16, width <= NORM_WIDTH_MAX. gamma, beta: (width,), values of int16. shift: 0..NORM_SHIFT_MAX.
    Returns (rows, width), values of int8.

    With c = width * x - sum(x) and V = width * sum(x**2) - sum(x)**2, the normalised value is c / sqrt(V), exactly the layer norm
    without epsilon (a constant row gives 0). y is c / sqrt(V) in Q10, saturated to 16 bits; the result is saturate8(round_shift(y *
    gamma + beta * 2**10, shift)).
    """
    x = np.asarray(x, np.int64)
    width = x.shape[1]
    total = x.sum(axis=1, keepdims=True)
    centred = width * x - total
    variance = width * (x * x).sum(axis=1, keepdims=True) - total * total
    mantissa, shift_y = reciprocal_square_root(variance)
    y = saturate(round_shift(centred * mantissa, shift_y), 16)
    return saturate(
        round_shift(y * np.asarray(gamma, np.int64) + (np.asarray(beta, np.int64) << NORM_FRACTION_BITS), shift), 8
    )


def reciprocal_square_root(variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mantissa, shift) with 1024 / sqrt(variance) ~ mantissa / 2**shift, for 0 <= variance < 2**52; both int64 of its shape.

    variance is scaled by an even power of two, 2**(-2k), into [2**30, 2**32) (floor); root is the isqrt of that, in [2**15, 2**16);
    mantissa = min(65,535, floor(2**31 / root)) and shift = 21 + k. k = ceil((bit_length - 32) / 2), so shift is 6..31.
    A variance of 0 gives mantissa 0 and shift 6.
    """
    variance = np.asarray(variance, np.int64)
    k = (bit_length(np.maximum(variance, 1)) - 31) >> 1
    scaled = np.where(k >= 0, variance >> (2 * np.maximum(k, 0)), variance << (2 * np.maximum(-k, 0)))
    root = np.maximum(isqrt(scaled), 1)
    mantissa = np.minimum((np.int64(1) << 31) // root, 65_535)
    return np.where(variance > 0, mantissa, 0), np.where(variance > 0, 21 + k, 6)


def route_token(logits: np.ndarray, top_k: int, absent: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Softmax, then top-k, of router logits over the experts that are present; the scores are not renormalised.

    logits: (tokens, experts), values of int16 in units of 1/256 octave. absent: bool (experts,), True for those that no token can
    choose; None if there are none. Returns selected (tokens, experts) bool, with min(top_k, experts present) True per token (ties go to
    the lowest index), and scores (tokens, experts), int64 0..65,535 in Q0.16, of the softmax over all experts present; 0 if absent.
    """
    logits = np.asarray(logits, np.int64)
    present = np.ones(logits.shape[1], bool) if absent is None else ~absent
    selected, scores = np.zeros(logits.shape, bool), np.zeros(logits.shape, np.int64)
    if not present.any():
        return selected, scores
    taking_part = logits[:, present]
    exponential = exp2_q16(taking_part.max(axis=1, keepdims=True) - taking_part)
    multiplier, bits = reciprocal(exponential.sum(axis=1, keepdims=True))
    scores[:, present] = np.minimum(round_shift(exponential * multiplier, bits - 1), 65_535)
    order = np.flatnonzero(present)[np.argsort(-taking_part, axis=1, kind="stable")]
    np.put_along_axis(selected, order[:, :top_k], True, axis=1)
    return selected, scores


def weigh_by_score(value: np.ndarray, score: np.ndarray, shift: int) -> np.ndarray:
    """int16 values times Q0.16 router scores and 2**shift, saturated to int16. Shapes broadcast.

    shift: 0 to SCORE_SHIFT_MAX. A value stands for 2**shift units of the residual stream, so that an expert's result may exceed the
    range of the stream, of which its score takes a part.
    """
    weighed = np.asarray(value, np.int64) * np.asarray(score, np.int64)
    return saturate(round_shift(weighed, SCORE_BITS - shift), 16)


def matmul_exact(a: np.ndarray, b_transposed: np.ndarray) -> np.ndarray:
    """a (rows, depth) times the transpose of b_transposed (columns, depth): int8 operands, exact int64 (rows, columns).

    float64 products and sums are exact below 2**53, so BLAS is used.
    """
    return (a.astype(np.float64) @ b_transposed.astype(np.float64).T).astype(np.int64)


def fixed_point_multiplier(ratio: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(multiplier, shift) with ratio ~ multiplier / 2**shift, multiplier in [2**15, 2**16) where shift allows.

    ratio: in [0, 2**15), of any shape; ratios below 2**-32 lose mantissa bits (shift is at most 47). Both results are int64 arrays
    of that shape. ValueError for a ratio out of range.
    """
    ratio = np.asarray(ratio, np.float64)
    if np.any(~np.isfinite(ratio)) or np.any(ratio < 0) or np.any(ratio >= 1 << 15):
        raise ValueError(f"scale ratios must lie in [0, 32768), got {ratio.min()} to {ratio.max()}")
    _, exponent = np.frexp(ratio)
    shift = np.clip(MULTIPLIER_BITS - exponent, 0, SHIFT_MAX)
    multiplier = np.round(np.ldexp(ratio, shift)).astype(np.int64)
    carry = multiplier >> MULTIPLIER_BITS
    shift = shift - carry
    multiplier = np.where(carry > 0, multiplier >> 1, multiplier)
    return multiplier, shift.astype(np.int64)
