"""I-ViT's arithmetic gives what the authors' code gives.

The expected integers are those of github.com/zkkli/I-ViT at 380ba99, `models/quantization_utils`, run in float64 on a CPU.
"""

import pytest
import torch

from moesaic.model.experiments.ptq.ivit_arithmetic import (
    integer_layer_norm,
    integer_root,
    requantised,
    requantised_sum,
    rounded_gelu,
    shift_gelu,
    shiftmax,
    symmetric_scale,
)

ROWS = [[-128, -90, -40, -7, 0, 25, 127, 126], [3] * 8, [0, -1, -2, -4, -8, -16, -32, -64]]
STREAM = [
    [1000, -2000, 300, 40, 5, -6000, 7000, 800, 0, 0, 1, -1, 9, -9, 44, 45],
    [1, 2, 3, 4, 5, 6, 7, 9] * 2,
]


def _real(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("scale", "bits", "expected"),
    [
        (0.03125, 16, [[5, 19, 92, 247, 316, 710, 15808, 15561], [4080] * 8, [5568, 5481, 5394, 5133, 4611, 3567, 2175, 783]]),
        (0.1, 16, [[0, 0, 0, 0, 0, 0, 16800, 15960], [4095] * 8, [7560, 7182, 6804, 5670, 3591, 1606, 330, 13]]),
        (0.0625, 8, [[0, 0, 0, 0, 0, 0, 64, 62], [15] * 8, [25, 25, 24, 21, 16, 10, 3, 0]]),
    ],
)  # fmt: skip
def test_shiftmax_is_that_of_the_published_code(scale, bits, expected):
    found, unit = shiftmax(_real(ROWS), _real(scale), bits)
    assert found.tolist() == expected
    assert unit == 2 ** (1 - bits)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (0.03125, [[0, -90, -560, -364, 0, 2525, 15621, 15120], [198] * 8, [0, -55, -108, -228, -376, -608, -640, -256]]),
        (0.0625, [[-512, -360, -160, -308, 0, 2950, 15875, 15498], [210] * 8, [0, -61, -116, -208, -320, -352, -160, 0]]),
    ],
)  # fmt: skip
def test_shift_gelu_is_that_of_the_published_code(scale, expected):
    found, unit = shift_gelu(_real(ROWS), _real(scale))
    assert found.tolist() == expected
    assert unit == scale / 128


def test_beside_a_large_value_shift_gelu_takes_half_of_negative_ones_and_rounding_does_not():
    scale, row = _real(0.1), _real([[120, -40, -30]])
    (shifted, unit), (rounded, same) = shift_gelu(row, scale), rounded_gelu(row, scale)
    assert unit == same
    assert (shifted * unit)[0, 1:].tolist() == pytest.approx([-2, -1.5], abs=0.1)
    assert (rounded * unit)[0].tolist() == pytest.approx([12, 0, 0], abs=0.01)


def test_layer_norm_is_that_of_the_published_code():
    weight, bias = _real([1, 0.5, 2, -1, 0.25, 1, 1, 3] * 2), _real([0, 0.1, -0.3, 0.7, 0, 0, -2, 1] * 2)
    found, unit = integer_layer_norm(_real(STREAM), weight, bias)
    second = [-67108862, 3355444, -73819750, -204682036, 0, 16777215, -503316481, 156587347]
    assert found.tolist() == [
        [
            104103324, -180573585, -15113595, -192077976, -8120736, -685412676, 243960412, 171024209,
            -8684676, 45002415, -48837207, -196702284, -7669584, -9699768, -540592916, 85869269,
        ],
        second * 2,
    ]  # fmt: skip
    assert torch.equal(unit, weight * 2**-28)


def test_requantisation_is_that_of_the_published_code():
    sums, scales = _real([[100, -2500, 77777], [3, -4, 123456]]), _real([0.002, 0.01, 0.0003])
    assert requantised(sums, scales, _real(0.13), 8).tolist() == [[2, -128, 127], [0, 0, 127]]
    beside = _real([[1000, -32768, 5], [7, 11, 13]])
    found = requantised_sum(sums, scales, beside, _real(0.0005), _real(0.0007), 16)
    assert found.tolist() == [[1000, -32768, 32767], [14, -49, 32767]]


def test_roots_of_large_squares_are_exact_and_the_smallest_is_64():
    roots = torch.arange(1024, 65536, 13, dtype=torch.float64)
    assert torch.equal(integer_root(roots.square()), roots)
    assert integer_root(_real([0])).tolist() == [64]


def test_the_largest_magnitude_gets_the_largest_integer_and_none_a_scale_above_nothing():
    assert symmetric_scale(_real(254), 8) == 2
    assert symmetric_scale(_real(0), 8) > 0
