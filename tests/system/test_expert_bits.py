"""Experts of 4 bits, all of them and some: csim and RTL against the reference machine on every byte of the frame window."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.build import Build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MAX_CYCLES, Executor
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import FOUR_BITS, MIXED_BITS, ODD, network, picture, tasks_of

TINY = load_configuration("tiny")
NETWORKS = {
    "all": FOUR_BITS,
    "some": MIXED_BITS,
    "some, odd sizes": replace(ODD, four_bit_experts={1: (0, 3, 4)}),
}
MACHINES = {"csim": 51, "rtl": 52, "rtl with random DRAM timing": 53}
"""With the seed of what their memories hold at power-up."""


@cache
def observed(bits: str) -> Build:
    """A build of random weights that stores every layer's result in the frame window."""
    return generate(network(NETWORKS[bits], 7), TINY, observe=True)


@pytest.fixture(scope="module", params=MACHINES, ids=lambda name: f"{name}, power-up {MACHINES[name]}")
def machine(request: pytest.FixtureRequest) -> Iterator[Executor]:
    seed = MACHINES[request.param]
    if request.param == "csim":
        executor: Executor = CsimExecutor(TINY, seed=seed)
    else:
        executor = RtlExecutor(RTL, TINY, random_seed=3 if "random" in request.param else None, power_up_seed=seed)
    yield executor
    executor.close()


def frame_after(build: Build, machine: Executor, task: str, image: np.ndarray) -> np.ndarray:
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    machine.run(build.tasks[task].program, memory, MAX_CYCLES)
    return memory.frame


@pytest.mark.parametrize("task", tasks_of(FOUR_BITS))
@pytest.mark.parametrize("bits", NETWORKS)
def test_whole_memory_images_are_equal(machine: Executor, bits: str, task: str) -> None:
    build, image = observed(bits), picture(NETWORKS[bits], 4)
    expected = frame_after(build, ReferenceMachine(TINY), task, image)
    assert np.array_equal(frame_after(build, machine, task, image), expected)
