"""The zcu104 configuration in RTL: blocks of M3ViT-S layer by layer, degenerate routings, and the estimate of their cycles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Memory
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import picture
from tests.hls.random_bundle import random_bundle
from tests.sim.any_value import compare_fields, compare_registers
from tests.sim.instruction_cases import DEGENERATE_ROUTES, Case, degenerate_route
from tests.spec.legal_fields import SMALLEST

pytestmark = pytest.mark.slow

ZCU104 = load_configuration("zcu104")
MAX_CYCLES = 5_000_000
TWO_BLOCKS = Architecture(
    image_height=128, image_width=256, patch=16, width=384, depth=2, heads=12, mlp_hidden=1536, expert_hidden=384, experts=16,
    top_k=4, moe_blocks=(1,),
)  # fmt: skip
"""A dense and a MoE block of M3ViT-S on 129 tokens."""
TASKS = {"depth": Task("depth", 1, 16, 1e-3, 4, {1: tuple(range(16))})}


@pytest.fixture(scope="module")
def rtl() -> Iterator[RtlExecutor]:
    with RtlExecutor(RTL, ZCU104) as executor:
        yield executor


@pytest.mark.parametrize("seed", [3], ids=lambda seed: f"seed{seed}")
def test_every_layer_of_a_dense_and_a_moe_block_of_m3vit_small(rtl: RtlExecutor, seed: int) -> None:
    bundle = random_bundle(TWO_BLOCKS, TASKS, seed)
    observed = generate(bundle, ZCU104, observe=True)
    integer = IntegerNetwork(TWO_BLOCKS, TASKS, bundle.tensors)
    layers = check_layers(rtl, observed, integer, picture(TWO_BLOCKS, seed))["depth"]
    assert len(layers) >= 4 + 7 * TWO_BLOCKS.depth
    assert layers == dict.fromkeys(layers, 0)


@pytest.mark.parametrize("seed", [3], ids=lambda seed: f"seed{seed}")
def test_the_estimate_is_within_three_percent(rtl: RtlExecutor, seed: int) -> None:
    """Of the same two blocks, with the tokens that each expert really gets; and the frame's memory is the reference's."""
    build = generate(random_bundle(TWO_BLOCKS, TASKS, seed), ZCU104)
    counts: list[int] = []

    def watch(name: str, fields: dict[str, int], machine: ReferenceMachine) -> None:
        if name == "route":
            counts[:] = machine.queue_count.tolist()

    memory, expected = build.new_memory(), build.new_memory()
    for each in (memory, expected):
        build.write_image(each.frame, picture(TWO_BLOCKS, seed))
    cycles = rtl.run(build.tasks["depth"].program, memory, MAX_CYCLES)["cycles"]
    ReferenceMachine(ZCU104, observe=watch).run(build.tasks["depth"].program, expected, MAX_CYCLES)
    assert np.array_equal(memory.frame, expected.frame)
    estimate = estimate_frame(TWO_BLOCKS, TASKS, "depth", ZCU104, counts=[counts])
    assert estimate.cycles == pytest.approx(cycles, rel=0.03)


@pytest.mark.parametrize("kind", DEGENERATE_ROUTES)
def test_degenerate_routing(rtl: RtlExecutor, kind: str) -> None:
    case = Case(
        ZCU104, np.random.default_rng([7, *kind.encode()]), act_limit=ZCU104.act_bytes, weight_limit=ZCU104.weight_bytes
    )
    counts = degenerate_route(case, kind, TWO_BLOCKS.tokens, (TWO_BLOCKS.width, TWO_BLOCKS.expert_hidden))
    assert set(counts) <= {0, TWO_BLOCKS.tokens} and len(counts) == TWO_BLOCKS.experts
    program, memory = case.finish()
    expected = Memory(memory.constants.copy(), memory.frame.copy())
    reference = ReferenceMachine(ZCU104)
    reference.run(program, expected, MAX_CYCLES)
    assert reference.queue_count.tolist() == counts
    rtl.run(program, memory, MAX_CYCLES)
    assert np.array_equal(memory.frame, expected.frame)


@pytest.mark.parametrize("seed", [1, 2], ids=lambda seed: f"seed{seed}")
def test_registers_of_any_value(rtl: RtlExecutor, tmp_path: Path, seed: int) -> None:
    compare_registers(rtl, tmp_path, seed)


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("seed", [94], ids=lambda seed: f"seed{seed}")
def test_fields_of_any_value(rtl: RtlExecutor, name: str, seed: int) -> None:
    compare_fields(rtl, ZCU104, name, seed)
