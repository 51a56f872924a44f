"""Estimates against tables of Student's t, and Holm's correction against an example worked by hand."""

import math

import pytest

from moesaic.model.experiments.paired import estimate, holm


def test_the_interval_is_that_of_students_t():
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])  # deviation sqrt(2.5); t of 4 degrees at 0.975 is 2.7764 (any table)
    assert (found.count, found.mean) == (5, 3)
    assert found.half_width == pytest.approx(2.7764 * math.sqrt(2.5 / 5), abs=1e-4)
    assert (found.low, found.high) == pytest.approx((1.0368, 4.9632), abs=1e-4) and found.sign == 1
    assert found.p == pytest.approx(0.0132, abs=1e-4)


def test_three_unpaired_seeds_of_the_first_page_show_nothing():
    """6.35 ± 2.90 and 2.76 ± 3.09 (n = 3): the difference is 3.59, and its interval by Welch's test contains 0; p is 0.22."""
    deviation = math.sqrt((2.90**2 + 3.09**2) / 3)
    assert (6.35 - 2.76) / deviation < 2.776  # t of 4 degrees at 0.975


@pytest.mark.parametrize(
    ("values", "sign"), [([-1.0, -2.0, -1.5], -1), ([1.0, -1.0, 0.5], 0), ([0.0, 0.0], 0), ([2.0, 2.0], 1)]
)
def test_the_sign_is_shown_only_by_an_interval_without_zero(values, sign):
    found = estimate(values)
    assert found.sign == sign
    assert found.p is not None and (found.p < 0.05) == (sign != 0)


def test_one_value_has_no_interval():
    found = estimate([3.0])
    assert (found.mean, found.low, found.high, found.p, found.half_width, found.sign) == (3, None, None, None, None, 0)


def test_holm_corrects_by_rank_and_never_falls_below_a_smaller_one():
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([None]) == [None]
