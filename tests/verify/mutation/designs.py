"""Designs with many mutants, of which a simulation has one; each is described by a few values, from which any worker can make it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from tests.verify.mutation import listed, netlist_mutants, samples, schemata
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.resets import load_resets
from tests.verify.python_sources import python_sources

SOURCES = ("listed", "operators", "netlist")
"""Where mutants come from: a list made by people, operators on the sources, and Yosys' `mutate` on elaborated modules."""
_GROUP = 400
"""Mutants of one design: more make it slower, fewer mean more builds."""


@dataclass(frozen=True)
class Design:
    """The `group`th part of a sample. source: one of SOURCES. count, seed: of the sample; of the list, all are taken."""

    source: str
    count: int
    seed: int
    group: int

    def mutants(self) -> dict[int, Mutation]:
        """By number, from 1."""
        return dict(enumerate(_sampled(self.source, self.count, self.seed)[self.group * _GROUP :][:_GROUP], 1))

    def write(self, directory: Path) -> None:
        """Make the directory, with all of these mutants in the RTL in it. InternalError if a tool refuses to."""
        schemata.write_design(RTL_DIRECTORY, directory, self.mutants(), _kind(self.source).combined)


def module_with(source: str, mutants: Sequence[Mutation]) -> bytes:
    """The file of the module whose mutants these are, from one source, with all of them in it, to be selected by number from 1."""
    original = (RTL_DIRECTORY / f"{mutants[0].module}.sv").read_bytes()
    return _kind(source).combined(original, list(enumerate(mutants, 1)))


@functools.cache
def method(source: str) -> str:
    """A digest of the Python that a source's mutants and designs depend on."""
    return content_hash(python_sources([Path(_kind(source).__file__)]))


def _kind(source: str) -> ModuleType:
    """What puts a source's mutants into a file, its `combined`."""
    return netlist_mutants if source == "netlist" else schemata


def designs(source: str, count: int, seed: int) -> list[Design]:
    """Those that together hold the sample."""
    groups = -(-len(_sampled(source, count, seed)) // _GROUP)
    return [Design(source, count, seed, group) for group in range(groups)]


@functools.lru_cache(maxsize=4)
def _sampled(source: str, count: int, seed: int) -> list[Mutation]:
    if source == "listed":
        return [mutant.mutation(RTL_DIRECTORY) for mutant in (*listed.load_listed(), *load_resets())]
    if source == "netlist":
        return samples.netlist_sample(count, seed)
    return samples.sample(samples.all_mutations(), count, seed)
