"""Deliberate faults in the RTL: each must be caught. Run with `make mutants`, or `make mutants MUTANTS="NAME ..."` for some.

A mutant is one textual change in one file of hls/hardware/rtl, listed in mutants.toml beside this file. The design is copied, changed,
built and run on whole networks of awkward sizes (every instruction, every destination, pruned pathways, conditional loads, fixed
and random DRAM timing), after runs that the host stops. It is caught when a memory image differs from the reference machine's, a run
faults or hangs, or a stop does not end one. One that does not compile is an error, not a catch.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tomllib
from rich.console import Console

from moesaic.errors import InternalError, UserError
from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.rtl_executor import RtlExecutor, build_simulator
from moesaic.spec.build import Build
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import STATUS_DONE, STATUS_STOPPED
from tests.hls.random_bundle import random_bundle
from tests.mutants.resets import TakenReset, load_resets
from tests.sim.stopping import run_and_stop

LIST = Path(__file__).with_name("mutants.toml")
MAX_CYCLES = 2_000_000
RANDOM_SEEDS = (None, 1, 2)
"""Of the DRAM's timing; machine number n of them powers up from seed n + 71."""
STOPS = (50, 700, 2_000, 4_500)
"""Cycles after which runs are stopped before the first whole one."""


@dataclass(frozen=True)
class Mutant:
    """In `file`, `find` (which occurs once) becomes `replace`; `doc` says what that breaks."""

    name: str
    file: str
    find: str
    replace: str
    doc: str

    def apply(self, directory: Path) -> None:
        path = directory / self.file
        text = path.read_text()
        if text.count(self.find) != 1:
            raise InternalError(
                f"mutant {self.name}: {self.find!r} occurs {text.count(self.find)} times in {self.file}, not once"
            )
        path.write_text(text.replace(self.find, self.replace))


def load_mutants() -> list[Mutant]:
    """All mutants of the list."""
    return [Mutant(**values) for values in tomllib.loads(LIST.read_text())["mutant"]]


def chosen_mutants(names: list[str]) -> list[Mutant | TakenReset]:
    """The named mutants, resets taken away among them; all of mutants.toml if none is named. UserError for an unknown name."""
    known: dict[str, Mutant | TakenReset] = {mutant.name: mutant for mutant in [*load_mutants(), *load_resets()]}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"unknown mutant {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in names] or [*load_mutants()]


def workload() -> Build:
    """An observed build of a random network whose sizes are multiples of nothing, some of whose experts have 4 bits.

    The second task's pathway is pruned.

    Its configuration is `tiny` with so little room for weights that experts are loaded after the router, hence conditionally.
    """
    configuration = replace(load_configuration("tiny"), weight_bytes=8192, shared_bytes=8192)
    architecture = Architecture(40, 56, 8, 40, 3, 5, 100, 72, 6, 2, (1,), four_bit_experts={1: (2, 4)})
    tasks = {
        "whole": Task("depth", 1, 8, 1.0, 2, {1: tuple(range(6))}),
        "pruned": Task("normals", 3, 8, 1.0, 1, {1: (1, 4, 5)}),
    }
    return generate(random_bundle(architecture, tasks, seed=5), configuration, observe=True)


def expected_frames(build: Build) -> list[np.ndarray]:
    """The frame image after each task in turn, by the reference machine."""
    machine, memory, frames = ReferenceMachine(build.configuration), _memory(build), []
    for task in build.tasks.values():
        machine.run(task.program, memory, MAX_CYCLES)
        frames.append(memory.frame.copy())
    return frames


def _memory(build: Build):
    memory = build.new_memory()
    image = np.random.default_rng(11).integers(0, 256, (build.image_height, build.image_width, 3)).astype(np.uint8)
    build.write_image(memory.frame, image)
    return memory


def verdict(rtl: Path, build: Build, expected: list[np.ndarray]) -> str:
    """How the design in `rtl` is caught, or "" if it behaves like the reference. InternalError if it does not compile."""
    build_simulator(rtl, build.configuration)
    for power_up, seed in enumerate(RANDOM_SEEDS, start=71):
        timing = "fixed timing" if seed is None else f"random timing, seed {seed}"
        try:
            with RtlExecutor(rtl, build.configuration, random_seed=seed, power_up_seed=power_up) as executor:
                memory = _memory(build)
                first = next(iter(build.tasks.values())).program
                for cycles in STOPS:
                    with tempfile.TemporaryDirectory(prefix="dram-") as directory:
                        status = run_and_stop(executor, first, _memory(build), cycles, Path(directory))
                    if status != STATUS_DONE | STATUS_STOPPED:
                        return f"STATUS {status:#x} after a stop at {cycles} cycles ({timing})"
                for (name, task), frame in zip(build.tasks.items(), expected):
                    executor.run(task.program, memory, MAX_CYCLES)
                    wrong = int(np.count_nonzero(memory.frame != frame))
                    if wrong:
                        return f"{wrong} bytes differ after task {name} ({timing})"
        except MachineFault as fault:
            return f"{fault.cause.name} in the {fault.unit} unit ({timing})"
        except InternalError as error:
            return f"{str(error).splitlines()[0]} ({timing})"
    return ""


def main(names: list[str]) -> int:
    mutants = chosen_mutants(names)
    build = workload()
    expected = expected_frames(build)
    console = Console()
    unbroken = verdict(RTL, build, expected)
    if unbroken:
        console.print(f"the design without a mutant is wrong already: {unbroken}")
        return 1
    caught = 0
    for mutant in mutants:
        with (
            tempfile.TemporaryDirectory(prefix="mutant-") as scratch,
            console.status(f"{mutant.name}: building and running"),
        ):
            rtl = Path(scratch) / "rtl"
            shutil.copytree(RTL, rtl)
            mutant.apply(rtl)
            how = verdict(rtl, build, expected)
        caught += bool(how)
        console.print(f"{mutant.name}: {mutant.doc}\n    {how or '[red]SURVIVED[/red]'}", highlight=False)
    console.print(f"{caught} of {len(mutants)} mutants caught")
    return 0 if caught == len(mutants) > 0 else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
