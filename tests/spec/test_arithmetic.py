"""moesaic.spec.arithmetic against exact integers and fractions of Python, at random and at the corners."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.spec import arithmetic as a

int8 = st.integers(-128, 127)
int16 = st.integers(-32768, 32767) | st.sampled_from([-32768, -1, 0, 1, 32767])


def nearest(value: Fraction) -> int:
    """The nearest integer, halves towards plus infinity."""
    return math.floor(value + Fraction(1, 2))


def clip(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


@given(st.integers(-(1 << 61), 1 << 61) | st.integers(-20, 20), st.integers(0, 60) | st.integers(0, 3))
def test_round_shift_is_nearest_with_halves_up(value, shift):
    assert int(a.round_shift(value, shift)) == nearest(Fraction(value, 1 << shift))


@given(st.integers(-(1 << 40), 1 << 40), st.integers(2, 32))
def test_saturate(value, bits):
    assert int(a.saturate(value, bits)) == clip(value, bits)


@given(
    st.integers(-(1 << 32), 1 << 32) | st.sampled_from([(1 << 26) - 1, 1 << 26, -(1 << 26), -(1 << 26) - 1]),
    st.integers(0, 65535) | st.sampled_from([0, 65535]),
    st.integers(0, a.SHIFT_MAX),
)
def test_requantise(accumulator, multiplier, shift):
    expected = nearest(Fraction(clip(accumulator, 27) * multiplier, 1 << shift))
    assert int(a.requantise(accumulator, multiplier, shift)) == expected


@given(st.integers(0, 70000) | st.integers(0, 19 * 256))
def test_exp2_is_the_table_shifted(distance):
    octaves = min(distance >> 8, 18)
    entry = nearest(Fraction(2.0 ** (-(distance & 255) / 256)) * 65536)
    assert int(a.exp2_q16(distance)) == nearest(Fraction(entry, 1 << octaves))


def test_exp2_is_within_one_and_a_half_units_and_falls():
    distance = np.arange(20 * 256)
    value = a.exp2_q16(distance)
    assert np.all(np.abs(value - 65536 * 2.0 ** (-distance / 256)) <= 1)
    assert np.all(np.diff(value) <= 0)
    assert value[0] == 65536
    assert value[-1] == 0


@given(
    st.integers(0, (1 << 32) - 1)
    | st.integers(0, 33).map(lambda bits: max((1 << bits) - 1, 0)).filter(lambda v: v < 1 << 32)
)
def test_reciprocal(value):
    mantissa, bits = (int(part) for part in a.reciprocal(value))
    assert bits == value.bit_length()
    if value == 0:
        assert mantissa == 0
        return
    assert mantissa == min(65535, (1 << (15 + bits)) // value)
    assert 1 << 15 <= mantissa < 1 << 16
    assert abs(Fraction(mantissa * value, 1 << (15 + bits)) - 1) < Fraction(1, 1 << 15)


@given(st.integers(0, (1 << 62) - 1) | st.integers(0, 61).map(lambda bits: 1 << bits))
def test_bit_length(value):
    assert int(a.bit_length(value)) == value.bit_length()


squares = st.integers(1, (1 << 26) - 1).flatmap(
    lambda root: st.sampled_from([root * root - 1, root * root, root * root + 1])
)


@given(st.integers(0, (1 << 52) - 1) | squares)
def test_isqrt(value):
    assert int(a.isqrt(value)) == math.isqrt(value)


@given(st.integers(0, (1 << 52) - 1) | st.integers(0, 51).map(lambda bits: 1 << bits) | squares | st.integers(0, 10))
def test_reciprocal_square_root(variance):
    mantissa, shift = (int(part) for part in a.reciprocal_square_root(variance))
    if variance == 0:
        assert (mantissa, shift) == (0, 6)
        return
    k = math.ceil((variance.bit_length() - 32) / 2)
    scaled = math.floor(Fraction(variance) / Fraction(4) ** k)
    assert 1 << 30 <= scaled < 1 << 32
    assert (mantissa, shift) == (min(65535, (1 << 31) // math.isqrt(scaled)), 21 + k)
    assert 6 <= shift <= 31
    assert mantissa / 2**shift == pytest.approx(1024 / math.sqrt(variance), rel=2.0**-14)


@settings(deadline=None)
@given(st.lists(int16, min_size=1, max_size=140), int16)
def test_softmax_rows(scores, maximum):
    probability, multiplier, shift = a.softmax_rows(np.array([scores], np.int16), np.array([maximum]))
    exponentials = [int(a.exp2_q16(max(maximum - score, 0))) for score in scores]
    expected = [
        math.floor(Fraction(value * 127, 65536) + Fraction(2 * (39 * column % 64) + 1, 128))
        for column, value in enumerate(exponentials)
    ]
    assert probability.tolist() == [expected]
    assert min(expected) >= 0
    assert max(expected) <= 127
    total = sum(expected)
    if total:
        assert int(multiplier[0]) * total / 2 ** int(shift[0]) == pytest.approx(1, rel=2.0**-15)
    else:
        assert (int(multiplier[0]), int(shift[0])) == (0, 15)


def test_rounding_of_probabilities_takes_every_odd_multiple_of_a_128th_once():
    assert sorted(a.PROBABILITY_ROUNDING) == [odd << 9 for odd in range(1, 128, 2)]


def test_small_probabilities_keep_their_sum():
    """One large score and 1,200 whose probability is 0.2 of a unit: all would round to 0, here one of five stays."""
    row = np.full((1, 1201), -int(256 * math.log2(127 / 0.2)), np.int16)
    row[0, 0] = 0
    probability, _, _ = a.softmax_rows(row, np.zeros(1, np.int64))
    assert probability[0, 1:].sum() == pytest.approx(1200 * 0.2, rel=0.25)


def test_softmax_of_1201_equal_scores_does_not_wrap():
    probability, multiplier, shift = a.softmax_rows(np.zeros((1, 1201), np.int16), np.zeros(1, np.int64))
    assert np.all(probability == 127)
    assert multiplier[0] * 1201 * 127 / 2.0 ** shift[0] == pytest.approx(1, rel=2.0**-15)


@settings(deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(0, 31))
def test_layer_norm(data, width, shift):
    row = st.lists(int16, min_size=width, max_size=width)
    x, gamma, beta = data.draw(row), data.draw(row), data.draw(row)
    total = sum(x)
    variance = width * sum(value * value for value in x) - total * total
    mantissa, shift_y = (int(part) for part in a.reciprocal_square_root(variance))
    expected = []
    for value, g, b in zip(x, gamma, beta, strict=True):
        y = clip(nearest(Fraction((width * value - total) * mantissa, 1 << shift_y)), 16)
        expected.append(clip(nearest(Fraction(y * g + (b << 10), 1 << shift)), 8))
    assert a.layer_norm(np.array([x]), np.array(gamma), np.array(beta), shift).tolist() == [expected]


@pytest.mark.parametrize("seed", range(5), ids=lambda seed: f"seed{seed}")
def test_layer_norm_is_close_to_the_float_one(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-20000, 20000, (16, 1024))
    exact = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    ours = a.layer_norm(x, np.full(1024, 32), np.zeros(1024, np.int64), 10)
    assert np.all(np.abs(ours - np.clip(32 * exact, -128, 127)) <= 0.55)


def test_layer_norm_at_the_largest_sums():
    """Width 1,024 of extreme values: the widths that the module promises."""
    x = np.tile(np.array([-32768, 32767]), 512)[None]
    total, squares = int(x.sum()), sum(int(value) ** 2 for value in x[0])
    variance = 1024 * squares - total * total
    assert variance < 1 << 52
    result = a.layer_norm(x, np.full(1024, 64), np.zeros(1024, np.int64), 10)
    assert np.array_equal(np.unique(result), [-64, 64])
    assert np.array_equal(
        a.layer_norm(np.full((1, 1024), 32767), np.full(1024, 99), np.full(1024, 3), 10), np.full((1, 1024), 3)
    )


@pytest.mark.parametrize(("value", "expected"), [(1000, 64), (-1000, -64)])
def test_layer_norm_of_one_value_beside_zeros(value, expected):
    """The largest normalised value that there is, sqrt(1,023): nearly 32, so in Q10 it needs all 16 bits."""
    x = np.zeros((1, 1024), np.int64)
    x[0, 5] = value
    result = a.layer_norm(x, np.full(1024, 1), np.zeros(1024, np.int64), 9)
    assert result[0, 5] == expected and not np.delete(result[0], 5).any()


def test_isqrt_on_both_sides_of_every_square():
    root = np.arange(1, 1 << 26, 997)
    for square in (root * root, ((1 << 26) - root) ** 2):
        assert np.array_equal(a.isqrt(square) ** 2, square)
        assert np.array_equal((a.isqrt(square - 1) + 1) ** 2, square)


@settings(deadline=None)
@given(st.lists(int16 | st.integers(0, 2), min_size=1, max_size=16), st.integers(0, 20))
def test_route_token(logits, top_k):
    selected, scores = a.route_token(np.array([logits], np.int16), top_k)
    order = sorted(range(len(logits)), key=lambda e: (-logits[e], e))
    chosen = order[: min(top_k, len(logits))]
    assert np.flatnonzero(selected[0]).tolist() == sorted(chosen)
    exponentials = [int(a.exp2_q16(max(logits) - value)) for value in logits]
    mantissa, bits = (int(part) for part in a.reciprocal(sum(exponentials)))
    expected = [min(nearest(Fraction(value * mantissa, 1 << (bits - 1))), 65535) for value in exponentials]
    assert scores.tolist() == [expected]
    assert abs(sum(expected) - 65536) <= 2 * len(logits) + 4


@settings(deadline=None)
@given(
    st.lists(st.tuples(int16 | st.integers(-(1 << 15), 2 - (1 << 15)), st.booleans()), min_size=1, max_size=16),
    st.integers(0, 20),
)
def test_absent_experts_are_as_if_they_were_not_there(experts, top_k):
    logits, absent = np.array([[logit for logit, _ in experts]], np.int16), np.array([gone for _, gone in experts])
    selected, scores = a.route_token(logits, top_k, absent)
    assert not selected[:, absent].any() and not scores[:, absent].any()
    if not absent.all():
        alone = a.route_token(logits[:, ~absent], top_k)
        assert np.array_equal(selected[:, ~absent], alone[0]) and np.array_equal(scores[:, ~absent], alone[1])


@given(int16, st.integers(0, 65535), st.integers(0, a.SCORE_SHIFT_MAX))
def test_weigh_by_score(value, score, shift):
    exact = nearest(Fraction(value * score * 2**shift, 65536))
    assert int(a.weigh_by_score(value, score, shift)) == min(max(exact, -32768), 32767)


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed{seed}")
def test_matmul_is_exact_at_the_largest_depth(seed):
    rng = np.random.default_rng(seed)
    left = rng.choice(np.array([-128, 127, -127, 1], np.int8), (3, 4096))
    right = rng.choice(np.array([-128, 127, -127, 1], np.int8), (5, 4096))
    right[0] = left[0] = -128
    expected = [[sum(int(x) * int(y) for x, y in zip(row, column, strict=True)) for column in right] for row in left]
    assert a.matmul_exact(left, right).tolist() == expected
    assert expected[0][0] == 4096 * 128 * 128


@given(st.floats(2.0**-30, 32767.0))
def test_fixed_point_multiplier(ratio):
    multiplier, shift = (int(part) for part in a.fixed_point_multiplier(ratio))
    assert 1 << 15 <= multiplier < 1 << 16
    assert 0 <= shift <= a.SHIFT_MAX
    assert abs(Fraction(multiplier, 1 << shift) / Fraction(ratio) - 1) <= Fraction(1, 1 << 16)


@pytest.mark.parametrize("power", [-30, -1, 0, 1, 14, 15])
def test_fixed_point_multiplier_that_rounds_up_to_a_power_of_two(power):
    assert a.fixed_point_multiplier(np.nextafter(2.0**power, 0)) == (1 << 15, 15 - power)


@pytest.mark.parametrize("ratio", [-1.0, 32768.0, math.nan, math.inf])
def test_fixed_point_multiplier_refuses(ratio):
    with pytest.raises(ValueError, match="scale ratios"):
        a.fixed_point_multiplier(ratio)


def test_fixed_point_multiplier_of_zero():
    assert int(a.fixed_point_multiplier(0.0)[0]) == 0


@given(st.floats(2.0**-200, 2.0**-32))
def test_fixed_point_multiplier_of_tiny_ratios(ratio):
    multiplier, shift = (int(part) for part in a.fixed_point_multiplier(ratio))
    assert shift == a.SHIFT_MAX
    assert abs(multiplier - ratio * 2.0**shift) <= 0.5


def test_mean_of_rows_is_that_of_int16_and_saturates_there():
    """Four rows: a weight of 1 is 32,768 / 2**15; what the machine cuts off are two bits of each row."""
    rows = np.array([[32_767, -32_768, 7], [32_767, -32_768, 4], [32_767, -32_768, 3], [32_767, -32_768, -1]])
    shift = np.array(15)
    assert a.mean_of_rows(rows, np.array(32_768), shift).tolist() == [32_764, -32_768, 1]
    assert a.mean_of_rows(rows, np.array(65_535), shift).tolist() == [32_767, -32_768, 2]
