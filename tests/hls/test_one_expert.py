"""A pathway that is pruned to one expert, on every machine: the whole memory image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.configuration import load_configuration
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import ODD, network, picture

UNEVEN = replace(ODD, image_width=40)
TINY = load_configuration("tiny")
MACHINES = {
    "csim, power-up 61": lambda: CsimExecutor(TINY, seed=61),
    "rtl, power-up 62": lambda: RtlExecutor(RTL, TINY, power_up_seed=62),
    "rtl with random DRAM timing, power-up 63": lambda: RtlExecutor(RTL, TINY, random_seed=3, power_up_seed=63),
}


@pytest.mark.parametrize("name", MACHINES)
def test_every_token_goes_to_the_only_expert(name: str) -> None:
    """26 tokens: no multiple of a tile."""
    bundle = network(UNEVEN, 4)
    tokens = bundle.architecture.tokens
    assert [len(experts) for experts in bundle.tasks["depth"].pathway.values()] == [1]
    assert tokens == 26 and tokens % TINY.tile_rows and tokens % TINY.tile_columns
    build = generate(bundle, TINY, observe=True)
    memory, expected = build.new_memory(), build.new_memory()
    for one in (memory, expected):
        build.write_image(one.frame, picture(UNEVEN, 4))
    reference = ReferenceMachine(TINY)
    reference.run(build.tasks["depth"].program, expected, 0)
    assert reference.queue_count.tolist() == [tokens] + [0] * (TINY.experts - 1)
    machine = MACHINES[name]()
    try:
        machine.run(build.tasks["depth"].program, memory, 10_000_000)
    finally:
        machine.close()
    assert np.array_equal(memory.frame, expected.frame)
