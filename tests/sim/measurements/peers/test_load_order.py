"""The order of loads against all orders, on sizes small enough to try them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from moesaic.sim.measurements.peers.load_order import Load, OperandParts, improved_order, soonest_order

SEEDS = range(20)


def random_parts(seed: int) -> OperandParts:
    rng = np.random.default_rng(seed)
    blocks, groups = (int(each) for each in rng.integers(1, 5, 2))
    cycles = tuple(float(each) for each in rng.integers(1, 60, blocks))
    return OperandParts(cycles, blocks, groups, float(rng.integers(1, 120)), groups, int(rng.integers(1, 40)))


def waits(order: list[Load], parts: OperandParts) -> float:
    """The most that a load is behind what the array could have done before it."""
    blocks = groups = 0
    arrival, most = 0.0, 0.0
    for columns, count in order:
        done = parts.steps * blocks * groups
        if columns:
            arrival += count * parts.group_cycles
            groups += count
        else:
            arrival += sum(parts.block_cycles[blocks : blocks + count])
            blocks += count
        most = max(most, arrival - done)
    assert (blocks, groups) == (parts.blocks, parts.groups)
    return most


def all_orders(parts: OperandParts) -> list[list[Load]]:
    """Every order of loads, of one part or more each."""
    singles = [
        [Load(place in columns, 1) for place in range(parts.blocks + parts.groups)]
        for columns in itertools.combinations(range(parts.blocks + parts.groups), parts.groups)
    ]
    orders = []
    for order in singles:
        places = [n for n in range(1, len(order)) if order[n].columns == order[n - 1].columns]
        for joined in itertools.chain.from_iterable(itertools.combinations(places, n) for n in range(len(places) + 1)):
            loads: list[Load] = []
            for n, load in enumerate(order):
                if n in joined:
                    loads[-1] = Load(load.columns, loads[-1].count + 1)
                else:
                    loads.append(load)
            orders.append(loads)
    return orders


@pytest.mark.parametrize("rows_late", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_order_waits_less_and_none_that_waits_as_little_has_fewer_loads(seed, rows_late):
    parts = random_parts(seed)
    order = soonest_order(parts, rows_late)
    assert order is not None
    every = [(waits(each, parts), len(each)) for each in all_orders(parts)]
    least = min(wait for wait, _ in every)
    assert waits(order, parts) == least
    assert len(order) == min(count for wait, count in every if wait == least)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_order_is_improved_and_stays_whole(seed):
    parts = random_parts(seed)
    start = soonest_order(parts, False)
    assert start is not None

    def cost(loads):
        return sum((n + 1) * load.count**2 * (2 if load.columns else 3) for n, load in enumerate(loads)), len(loads)

    improved = improved_order(start, parts, cost)
    waits(improved, parts)
    assert all(load.count > 0 for load in improved)
    assert cost(improved) <= cost(start)


def test_parts_that_take_turns_are_loaded_one_by_one_with_the_other_operand_whole():
    parts = OperandParts((10.0,) * 6, 2, 3, 40.0, 3, 20)
    for rows_late in (False, True):
        order = soonest_order(parts, rows_late)
        assert order is not None
        assert [load.count for load in order if not load.columns] == [1] * 6
        third = [n for n, load in enumerate(order) if not load.columns][2]
        assert sum(load.count for load in order[:third] if load.columns) == 3
        kept = improved_order(order, parts, lambda loads: (float(len(loads)), 0))
        assert [load.count for load in kept if not load.columns] == [1] * 6


def test_there_is_no_order_if_neither_operand_fits_whole():
    assert soonest_order(OperandParts((10.0,) * 6, 5, 3, 40.0, 2, 20), False) is None
