"""Which mutants a campaign has: the listed ones, and samples of the others in which every module has its share."""

from __future__ import annotations

import functools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.source_closure import source_closure
from tests.verify.mutation import netlist_mutants
from tests.verify.mutation.operators import ASSERTION_MODULES, Mutation, mutations, parameter_sets
from tests.verify.mutation.schemata import TOP
from tests.verify.mutation.workload import configuration

_LEAST = 8
"""Mutants of a module, where it has so many."""


@functools.cache
def all_mutations() -> tuple[Mutation, ...]:
    """Every change that the operators know of in the accelerator as the mutants' configuration elaborates it."""
    sources = source_closure(TOP, [RTL_DIRECTORY])
    return tuple(mutations(TOP, sources, rtl_parameters(configuration())))


@functools.cache
def module_parameters() -> dict[str, list[dict[str, str]]]:
    """By module of that accelerator, the different values that its parameters have."""
    return parameter_sets(TOP, source_closure(TOP, [RTL_DIRECTORY]), rtl_parameters(configuration()))


def sample(everything: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """About `count` of them: of each module in proportion to what it has, but no fewer than 8 where it has them."""
    by_module: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in everything:
        by_module[mutation.module].append(mutation)
    chosen: list[Mutation] = []
    for module, here in sorted(by_module.items()):
        share = min(len(here), _share(count, len(here), len(everything)))
        chosen += random.Random(f"{seed} {module}").sample(here, share)
    return chosen


def netlist_sample(count: int, seed: int) -> list[Mutation]:
    """About `count` mutants of elaborated modules: of each as many as of its source, in proportion, but no fewer than 8."""
    everything = all_mutations()
    here = Counter(mutation.module for mutation in everything)
    chosen: list[Mutation] = []
    for module, sets in sorted(module_parameters().items()):
        if module not in ASSERTION_MODULES:
            share = _share(count, here[module], len(everything))
            chosen += netlist_mutants.module_sample(module, sets, share, seed)
    return chosen


def _share(count: int, here: int, everywhere: int) -> int:
    return max(_LEAST, round(count * here / everywhere))
