"""In which order the operands of one layer are loaded, and how much each instruction loads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Load(NamedTuple):
    """What one instruction loads: so many blocks of rows, or groups of columns."""

    columns: bool
    count: int


@dataclass(frozen=True)
class OperandParts:
    """The parts of a layer's operands.

    block_cycles: what each block of rows takes to load. groups: of columns; group_cycles: what one takes. steps: of the array, for a
    block times a group. block_places, group_places: how many of them fit on chip. Where not all do, they take turns, and the other
    operand has to be there whole before the first one makes room.
    """

    block_cycles: tuple[float, ...]
    block_places: int
    groups: int
    group_cycles: float
    group_places: int
    steps: int

    def whole(self, columns: bool) -> bool:
        """Whether all columns, or all rows, fit on chip at once."""
        return self.group_places == self.groups if columns else self.block_places == self.blocks

    @property
    def blocks(self) -> int:
        """Blocks of rows."""
        return len(self.block_cycles)


def soonest_order(parts: OperandParts, rows_late: bool) -> list[Load] | None:
    """The order in which the array waits least, in as few loads as that allows; None if neither operand fits whole.

    The array ends when the last load has ended and it has done what was left then, for every load: the order is one whose worst load,
    in this sense, is best.

    rows_late: of two equally good orders, take that with more groups of columns first.
    """
    row_cycles = list(itertools.accumulate(parts.block_cycles, initial=0.0))
    states = list(itertools.product(range(parts.blocks + 1), range(parts.groups + 1)))
    most = {
        columns: (parts.groups if columns else parts.blocks) if parts.whole(columns) else 1 for columns in (False, True)
    }

    def last_loads(blocks: int, groups: int, at_most: int) -> Iterator[tuple[tuple[int, int], float, Load]]:
        """What may have been there before the last load, how long the array has waited when that ends, and the load."""
        arrival = row_cycles[blocks] + parts.group_cycles * groups
        if blocks <= parts.block_places or groups == parts.groups:
            for count in range(1, min(blocks, most[False], at_most) + 1):
                yield (blocks - count, groups), arrival - parts.steps * (blocks - count) * groups, Load(False, count)
        if groups <= parts.group_places or blocks == parts.blocks:
            for count in range(1, min(groups, most[True], at_most) + 1):
                yield (blocks, groups - count), arrival - parts.steps * blocks * (groups - count), Load(True, count)

    waits = {(0, 0): 0.0}
    for state in states[1:]:
        found = [max(waits[before], wait) for before, wait, _ in last_loads(*state, 1) if before in waits]
        if found:
            waits[state] = min(found)
    if states[-1] not in waits:
        return None
    best: dict[tuple[int, int], list[Load]] = {(0, 0): []}
    for state in states[1:]:
        orders = [
            [*best[before], load]
            for before, wait, load in last_loads(*state, len(states))
            if before in best and wait <= waits[states[-1]]
        ]
        if orders:
            best[state] = min(orders, key=lambda order: (len(order), order[-1].columns != rows_late, -order[-1].count))
    return best[states[-1]]


def improved_order(
    order: Sequence[Load], parts: OperandParts, cost: Callable[[Sequence[Load]], tuple[float, int]]
) -> list[Load]:
    """The order with loads joined, exchanged and made larger or smaller, one at a time, as long as that lowers the cost."""
    loads, least = list(order), cost(order)
    place = 0
    while place < len(loads):
        for other in _changed(loads, place, parts):
            other_cost = cost(other)
            if other_cost < least:
                loads, least, place = other, other_cost, 0
                break
        else:
            place += 1
    return loads


def _changed(loads: list[Load], place: int, parts: OperandParts) -> Iterator[list[Load]]:
    """What may be done with the load at a place and one of its followers. Parts that take turns stay as they are, and the order, too."""
    columns, count = loads[place]
    if not parts.whole(columns):
        return
    if count > 1:
        yield [*loads[:place], Load(columns, count // 2), Load(columns, count - count // 2), *loads[place + 1 :]]
    follower = next((n for n in range(place + 1, len(loads)) if loads[n].columns == columns), 0)
    if follower != place + 1:
        if place + 1 == len(loads) or not parts.whole(not columns):
            return
        yield [*loads[:place], loads[place + 1], loads[place], *loads[place + 2 :]]
    if not follower:
        return
    for moved in (loads[follower].count, 1, -1, -count):
        counts = {place: count + moved, follower: loads[follower].count - moved}
        changed = [Load(load.columns, counts.get(n, load.count)) for n, load in enumerate(loads)]
        yield [load for load in changed if load.count]
