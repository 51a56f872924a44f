"""The layers that are compared: their products, and the two roundings."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.sim.measurements.peers.layers import (
    SHIFT,
    Operands,
    convolution,
    nngen_result,
    operands,
    our_result,
    product,
    sums,
)


def test_a_convolution_is_the_sum_over_the_kernel_with_zeros_around_the_picture():
    layer = convolution(5, 3, 4)
    values = operands(layer)
    found = sums(layer, values).reshape(5, 5, 4)
    for y, x in ((0, 0), (2, 3), (4, 4)):
        expected = values.bias.astype(np.int64)
        for ky in range(3):
            for kx in range(3):
                v, u = y + ky - 1, x + kx - 1
                if 0 <= v < 5 and 0 <= u < 5:
                    expected = expected + values.weights[:, ky, kx].astype(np.int64) @ values.inputs[v, u].astype(
                        np.int64
                    )
        assert found[y, x].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("total", "ours", "peer"),
    [(1, 1, 1), (-1, 0, -1), (3, 2, 2), (-3, -1, -2), (2, 1, 1), (-2, -1, -1), (999, 127, 127), (-999, -128, -128)],
)
def test_halves_go_up_here_and_away_from_zero_in_nngen(total, ours, peer):
    # total: of the sum, in halves of what one step of the result is worth
    layer = product(1, 1, 1)
    bias = np.array([total << (SHIFT - 1)], np.int32)
    values = Operands(np.zeros((1, 1), np.int8), np.zeros((1, 1), np.int8), bias)
    assert our_result(layer, values).item() == ours
    assert nngen_result(layer, values).item() == peer


def test_the_roundings_differ_in_few_results_and_few_are_saturated():
    layer = product(300, 384, 64)
    values = operands(layer)
    ours, peer = our_result(layer, values), nngen_result(layer, values)
    assert 0 < np.count_nonzero(ours != peer) < ours.size / 500
    assert np.mean(np.abs(ours.astype(int)) >= 127) < 0.05
