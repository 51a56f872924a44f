"""How `--clock auto` chooses its next run: the search against machines that meet some clocks and miss others."""

from __future__ import annotations

import itertools

import pytest

from moesaic.hls.vendor.vivado.clock_search import LEAST_GAIN, MOST_RUNS, Attempt, next_clock, wizard_clocks


def searched(first_mhz: float, slack) -> list[Attempt]:
    """The runs of a search. slack: clock in MHz to the worst setup slack in ns that a run at it ends with."""
    attempts = [Attempt(first_mhz, slack(first_mhz))]
    while (clock := next_clock(attempts)) is not None:
        assert clock not in [attempt.clock_mhz for attempt in attempts]
        attempts.append(Attempt(clock, slack(clock)))
    return attempts


def highest_met(attempts: list[Attempt]) -> float:
    return max(attempt.clock_mhz for attempt in attempts if attempt.met)


def path_of(ns: float, left: float = 0.0):
    """A design whose worst path takes `ns`; of slack, the tool leaves at most `left`, as it stops trying once a clock is met."""
    return lambda mhz: min(round(1000 / mhz - ns, 3), left) if 1000 / mhz >= ns else round(1000 / mhz - ns, 3)


def test_the_steps_of_the_wizard() -> None:
    clocks = wizard_clocks()
    assert {100.0, 200.0, 250.0, 275.0, 287.5, 300.0, 312.5} <= set(clocks)
    assert all(low < high <= low * 1.009 for low, high in itertools.pairwise(clocks) if 200 <= low <= 400)


def test_a_clock_that_is_met_with_little_to_spare_is_the_end() -> None:
    assert searched(300.0, path_of(3.3, 0.021)) == [Attempt(300.0, 0.021)]


def test_a_miss_is_mended_by_one_more_run() -> None:
    attempts = searched(300.0, path_of(3.6, 0.01))
    assert [attempt.met for attempt in attempts] == [False, True]
    assert 1000 / 3.6 * 0.998 <= highest_met(attempts) <= 1000 / 3.6


def test_slack_that_is_left_is_used() -> None:
    attempts = searched(200.0, path_of(3.5, 1.2))
    assert [attempt.met for attempt in attempts] == [True, True, True]
    assert highest_met(attempts) == pytest.approx(1000 / 3.5, rel=LEAST_GAIN)


def test_a_reach_that_was_too_far() -> None:
    """At a slower clock the tool tries less, and its placement is worse than the last one promised."""
    attempts = searched(300.0, lambda mhz: round(1000 / mhz - (3.5 if mhz == 300 else 3.55), 3))
    assert [attempt.met for attempt in attempts] == [False, False, True]
    assert highest_met(attempts) == pytest.approx(1000 / 3.55, rel=0.002)


@pytest.mark.parametrize("noise", range(20))
def test_every_search_ends_and_goes_on_only_for_a_gain(noise: int) -> None:
    import numpy as np

    generator = np.random.default_rng([3, noise])
    longest = generator.uniform(2.6, 5.0)
    attempts = searched(300.0, lambda mhz: round(1000 / mhz - longest * generator.uniform(0.97, 1.03), 3))
    assert len(attempts) <= MOST_RUNS
    met = [attempt.clock_mhz for attempt in attempts if attempt.met]
    assert met == sorted(met)
    assert all(high >= low * (1 + LEAST_GAIN) for low, high in itertools.pairwise(met))
    missed = [attempt.clock_mhz for attempt in attempts if not attempt.met]
    assert missed == sorted(missed, reverse=True)


def test_nothing_is_tried_below_the_wizards_clocks() -> None:
    assert next_clock([Attempt(50.0, -0.5)]) is None
