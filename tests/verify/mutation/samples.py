"""Which mutants a campaign has: the listed ones, and samples of the others in which every module has its share."""

from __future__ import annotations

import functools
import random
from collections import defaultdict
from collections.abc import Sequence

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.source_closure import source_closure
from tests.verify.mutation.operators import Mutation, mutations
from tests.verify.mutation.workload import configuration

TOP = "moesaic_accelerator"
_LEAST = 8
"""Mutants of a module, where it has so many."""


@functools.cache
def all_mutations() -> tuple[Mutation, ...]:
    """Every change that the operators know of in the accelerator as the mutants' configuration elaborates it."""
    sources = source_closure(TOP, [RTL_DIRECTORY])
    return tuple(mutations(TOP, sources, rtl_parameters(configuration())))


def sample(everything: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """About `count` of them: of each module in proportion to what it has, but no fewer than 8 where it has them."""
    by_module: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in everything:
        by_module[mutation.module].append(mutation)
    chosen: list[Mutation] = []
    for module, here in sorted(by_module.items()):
        share = min(len(here), max(_LEAST, round(count * len(here) / len(everything))))
        chosen += random.Random(f"{seed} {module}").sample(here, share)
    return chosen
