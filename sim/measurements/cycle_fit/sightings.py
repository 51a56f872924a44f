"""Which figures of which programs show which constant of the cycle model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from moesaic.sim.measurements.cycle_fit.probe import Experiment, Probe, frame_experiment
from moesaic.sim.measurements.cycle_fit.run_times import RunTimes
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import Destination, LoadDestination

_TABLE_BYTES, _LOAD_BYTES = 1024, 65_536


@dataclass(frozen=True, eq=False)
class Sighting:
    """Figures of a run that depend linearly on a constant.

    constant: its name in CycleConstants. figures: computes them from the times of a run, in cycles.
    """

    constant: str
    experiment: Experiment
    figures: Callable[[RunTimes], np.ndarray | float]


def _duration(n: int) -> Callable[[RunTimes], float]:
    return lambda run: run.done[n] - run.taken[n]


def _longer(n: int, m: int) -> Callable[[RunTimes], float]:
    """How much longer instruction n takes than instruction m."""
    return lambda run: _duration(n)(run) - _duration(m)(run)


def _completions(n: int) -> Callable[[RunTimes], float]:
    """Cycles from the completion of the instruction before n to that of instruction n."""
    return lambda run: run.done[n] - run.done[n - 1]


def sightings(configuration: HardwareConfiguration) -> Iterator[Sighting]:
    """All sightings, with at least one for every constant."""

    def probe() -> Probe:
        return Probe(configuration)

    yield from _of_units(probe)
    yield from _of_products(probe, configuration.tile_rows)
    yield from _of_loads(probe, min(_LOAD_BYTES, configuration.weight_bytes // 2), configuration.act_word_bytes)
    yield from _of_others(probe)
    frame = frame_experiment(configuration)
    yield Sighting("run_end", frame, lambda run: run.cycles - np.max(run.done))


def _of_units(probe: Callable[[], Probe]) -> Iterator[Sighting]:
    alone, pair = probe().softmax(2, 1).finish(), probe().softmax(2, 1).softmax(2, 1).finish()
    yield Sighting("fetch_start", alone, lambda run: run.accepted[0])
    yield Sighting("hand_over", alone, lambda run: run.taken[0] - run.accepted[0])
    yield Sighting("run_end", alone, lambda run: run.cycles - run.done[0])
    yield Sighting("turnaround", pair, lambda run: run.taken[1] - run.done[0])
    chain = probe().product(4, 1, 16).softmax(2, 1, after=True).finish()
    yield Sighting("signal", chain, lambda run: run.taken[1] - run.done[0])


def _of_products(probe: Callable[[], Probe], tile: int) -> Iterator[Sighting]:
    for column_tiles, steps in ((1, 16), (2, 16), (4, 32)):
        product = probe().product(tile, column_tiles, steps).finish()
        yield Sighting("product_start", product, lambda run: run.first[0] - run.taken[0])
        yield Sighting("product_end", product, _duration(0))
        gathered = probe().route(tile, 4).product(tile, column_tiles, steps, Destination.INT8, gather=True).finish()
        yield Sighting("product_gather", gathered, lambda run: run.first[-1] - run.taken[-1])
        scattered = (
            probe().route(tile, 4).product(tile, column_tiles, steps, Destination.RESIDUAL, scatter=True).finish()
        )
        yield Sighting("product_scatter", scattered, _duration(-1))
        keys = probe().product(tile, column_tiles, steps, Destination.KEYS).finish()
        yield Sighting("product_keys", keys, _duration(0))
    empty = probe().route(tile, 4).product(tile, 1, 16, Destination.INT8, gather=True, queue=3).finish()
    yield Sighting("product_empty", empty, _duration(-1))
    behind = probe().route(1, 2).product(8 * tile, 4, 32).product(tile, 1, 16, Destination.INT8, gather=True, queue=1)
    yield Sighting("product_spacing", behind.finish(), _completions(-1))


def _of_loads(probe: Callable[[], Probe], size: int, act_word: int) -> Iterator[Sighting]:
    act, weight, table = LoadDestination.ACT, LoadDestination.WEIGHT, LoadDestination.TABLE
    both = probe().load(act, size // 4).load(act, size).finish()
    yield Sighting("load_act_word", both, lambda run: _longer(1, 0)(run) * act_word / (3 * size / 4))
    long = probe().load(weight, 2 * size).finish()
    yield Sighting("load_start", long, lambda run: run.first[0] - run.taken[0])
    yield Sighting("load_share", long, lambda run: run.last[0] - run.first[0])
    yield Sighting("load_end", long, _duration(0))
    part = size // 4
    several = probe().load(weight, part).load(weight, part, at=part).load(weight, part, at=2 * part).finish()
    for n in (1, 2):
        yield Sighting("load_spacing", several, _completions(n))
    yield Sighting("load_table_beat", probe().load(table, _TABLE_BYTES).finish(), _duration(0))
    yield Sighting("load_skipped", probe().route(2, 4).load(act, size, queue=3).finish(), _duration(-1))
    behind = probe().route(1, 2).load(weight, size).load(act, size, queue=1).finish()
    yield Sighting("load_skipped_spacing", behind, _completions(-1))
    for count in (1024, 4096, 16_384):
        yield Sighting("store_overhead", probe().store(count).finish(), _duration(0))
    yield Sighting("burst", probe().store(16, runs=256).finish(), _duration(0))


def _of_others(probe: Callable[[], Probe]) -> Iterator[Sighting]:
    for words in (1, 2, 3):
        yield Sighting("softmax_overhead", probe().softmax(1, words).finish(), _duration(0))
    for column_tiles in (1, 2):
        norms = probe().layer_norm(1, column_tiles).layer_norm(33, column_tiles).finish()
        yield Sighting("norm_row_latency", norms, _longer(1, 0))
    for column_tiles in (1, 2, 4):
        yield Sighting("norm_overhead", probe().layer_norm(1, column_tiles).finish(), _duration(0))
    yield Sighting("route_row", probe().route(1, 4).route(65, 4).finish(), _longer(3, 1))
    yield Sighting("route_column", probe().route(1, 8).route(1, 16).finish(), _longer(3, 1))
    for experts in (4, 8, 16):
        yield Sighting("route_overhead", probe().route(1, experts).finish(), _duration(1))
