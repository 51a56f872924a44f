"""Batches of episodes, and frames back to back; both by seed, so that a campaign can run and keep them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.ddr4 import DDR4, FLAT
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Memory
from moesaic.spec.machine import ReferenceMachine
from tests.hls.random_bundle import random_bundle
from tests.sim.programs import random_program
from tests.verify.stress.driven_machine import DrivenMachine, Work
from tests.verify.stress.episodes import EPISODES, right_run

TINY = load_configuration("tiny")
_WORKS, _INSTRUCTIONS = 3, 40
_NETWORKS = (
    Architecture(40, 56, 8, 40, 3, 5, 100, 72, 6, 2, (1,), four_bit_experts={1: (2, 4)}),
    Architecture(32, 32, 8, 32, 2, 4, 64, 32, 4, 2, (0, 1)),
)


def random_work(seed: int) -> Work:
    """A random program with all units at once, and what the reference machine makes of it."""
    program, memory = random_program(TINY, np.random.default_rng(seed), _INSTRUCTIONS)
    expected = Memory(memory.constants.copy(), memory.frame.copy())
    counters = ReferenceMachine(TINY, seed=1).run(program, expected, 0)
    return Work(program, memory, expected.frame, counters)


def run_episodes(seed: int, count: int) -> dict:
    """So many random episodes on one machine, each followed by a run that has to be right. Counts by episode, and "cycles" of those runs.

    Even seeds have the fixed timing of the DRAM, odd ones a random one. AssertionError, with seed and number, where the machine is wrong.
    """
    rng = np.random.default_rng([seed, 41])
    works = [random_work(int(rng.integers(1 << 31))) for _ in range(_WORKS)]
    done, cycles = Counter[str](), 0
    with (
        RtlExecutor(RTL_DIRECTORY, TINY, random_seed=seed if seed % 2 else None) as executor,
        DrivenMachine(executor, TINY.load_ports) as machine,
    ):
        for number in range(count):
            episode = EPISODES[int(rng.integers(len(EPISODES)))]
            try:
                episode(machine, works, rng)
                cycles += right_run(machine, works[int(rng.integers(_WORKS))])
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, episode {number}, {episode.__name__}: {error}") from error
            done[episode.__name__] += 1
    return {"episodes": dict(done), "cycles": cycles}


def run_frames(seed: int, cycles: int) -> dict:
    """Frames of random tasks of random networks back to back, until so many cycles have passed. Returns "frames" and "cycles".

    Each batch draws a timing of the DRAM: fixed, random, or that of a DDR4. AssertionError, with the seed, if a byte is wrong.
    """
    rng = np.random.default_rng([seed, 43])
    dram = [FLAT, FLAT, *DDR4][int(rng.integers(2 + len(DDR4)))]
    builds = []
    for architecture in _NETWORKS:
        experts = architecture.experts
        tasks = {
            "whole": Task("depth", 1, 8, 1.0, 2, dict.fromkeys(architecture.moe_blocks, tuple(range(experts)))),
            "pruned": Task("normals", 3, 8, 1.0, 1, dict.fromkeys(architecture.moe_blocks, (0, experts - 1))),
        }
        builds.append(generate(random_bundle(architecture, tasks, seed=int(rng.integers(1 << 31))), TINY))
    frames = passed = 0
    with RtlExecutor(
        RTL_DIRECTORY, TINY, random_seed=int(rng.integers(1, 1 << 31)) if rng.random() < 0.7 else None,
        latency=int(rng.integers(1, 200)), bytes_per_cycle=float(rng.uniform(4, 64)), dram=dram,
    ) as executor:  # fmt: skip
        while passed < cycles:
            build = builds[int(rng.integers(len(builds)))]
            task = build.tasks[str(rng.choice(list(build.tasks)))]
            found = build.new_memory()
            image = rng.integers(0, 256, (build.image_height, build.image_width, 3), np.uint8)
            build.write_image(found.frame, image)
            expected = Memory(found.constants, found.frame.copy())
            ReferenceMachine(TINY).run(task.program, expected, 0)
            passed += executor.run(task.program, found, 0)["cycles"]
            frames += 1
            assert np.array_equal(found.frame, expected.frame), f"seed {seed}, frame {frames}: bytes differ"
    return {"frames": frames, "cycles": passed}
