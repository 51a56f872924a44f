"""The steps that the proofs of the arithmetic take outside of the solver: identities of integers, checked over all their operands."""

from __future__ import annotations

import numpy as np

from moesaic.spec.arithmetic import EXP2_TABLE, exp2_q16


def square_recursion() -> int:
    """(2 r + b)**2 == 4 r**2 + b (4 r + 1) for every root r of 15 bits and next bit b. Returns the number of cases."""
    root, bit = np.meshgrid(np.arange(1 << 15, dtype=np.int64), np.arange(2, dtype=np.int64))
    assert np.array_equal((2 * root + bit) ** 2, 4 * root**2 + bit * (4 * root + 1))
    return root.size


def quotient_recursion() -> int:
    """With q' = 4 q + b and r' = 4 r - b d: q' d + r' == 4 (q d + r). Returns the number of cases.

    Polynomials of degree 1 in each variable are equal where they are at the corners of a box, 2 values of each. So q d + r grows by 4
    with every stage, and with 0 <= r < d in the end, q is the floor of its last value over d.
    """
    q, b, d, r = np.meshgrid(*[np.array([0, 1], np.int64)] * 4)
    assert np.array_equal((4 * q + b) * d + (4 * r - b * d), 4 * (q * d + r))
    return q.size


def requantised_product() -> int:
    """|clip27(x) * multiplier| < 2**42, at the corners, between which a product is monotonic in each operand."""
    corners = [clipped * multiplier for clipped in (-(1 << 26), (1 << 26) - 1) for multiplier in (0, 65_535)]
    assert max(map(abs, corners)) < 1 << 42
    return len(corners)


def packed_product() -> int:
    """(w1 * 2**18 + w0) * a == w1 * a * 2**18 + w0 * a over all int8, with an operand of 27 bits and a product of 45."""
    a, low = np.meshgrid(np.arange(-128, 128, dtype=np.int64), np.arange(-128, 128, dtype=np.int64))
    for high in range(-128, 128):
        packed = high * (1 << 18) + low
        assert packed.min() >= -(1 << 26) and packed.max() < 1 << 26
        product = packed * a
        assert np.array_equal(product, high * a * (1 << 18) + low * a)
        assert product.min() >= -(1 << 44) and product.max() < 1 << 44
        assert (low * a).min() >= -16_256 and (low * a).max() <= 16_384
    return 1 << 24


def exponential_of_every_distance() -> int:
    """moesaic_exp2's formula, the table entry shifted with the last bit dropped added, is exp2_q16 for all distances of 16 bits.

    The module itself is compared with exp2_q16 over the same distances by tests/sim/test_exp2.py.
    """
    distance = np.arange(1 << 16, dtype=np.int64)
    shifted = ((EXP2_TABLE[distance & 255] << 1) >> np.minimum(distance >> 8, 62)) + 1 >> 1
    assert np.array_equal(shifted, exp2_q16(distance))
    return distance.size


LEMMAS = {
    "square_recursion": square_recursion,
    "quotient_recursion": quotient_recursion,
    "requantised_product": requantised_product,
    "packed_product": packed_product,
    "exponential_of_every_distance": exponential_of_every_distance,
}
"""Name to a function that raises AssertionError if the lemma is wrong, and returns how many cases it looked at."""
