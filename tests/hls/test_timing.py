"""The timing model against cycles recorded in RTL simulation of whole frames (`make bench`), without a simulation."""

import dataclasses

import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler import cycle_estimate as estimation
from moesaic.hls.compiler import cycle_model
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.compiler.generate import generate
from moesaic.hls.compiler.schedule import Schedule
from moesaic.sim.measurements.benchmark.asked import ESTIMATE_TOLERANCE
from moesaic.sim.measurements.benchmark.bundles import frame_recipe
from moesaic.sim.measurements.benchmark.cases import FRAMES, scaling_cases
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.dram_timing import BYTES_PER_CYCLE
from tests.docs.figures import FIGURES
from tests.hls.random_bundle import random_bundle

ZCU104, FULL = load_configuration("zcu104"), load_configuration("zcu104-full")
TINY_128, SMALL_128, SMALL_224, SMALL_480 = FRAMES
# Cycles of the encoder and of the whole frame, of each. What else was recorded is of zcu104.
RECORDED_FRAMES = {
    (machine, frame): (recorded["encoder"], recorded["whole"])
    for machine in (ZCU104, FULL)
    for frame in FRAMES
    if (recorded := FIGURES["frames"][machine.name].get(f"{frame.model} {frame.input}"))
}
RECORDED_SCALING = {
    frame: {
        **{label: tuple(cycles) for label, cycles in FIGURES["scaling"][frame.model].items()},
        "42.67 B/cycle": tuple(FIGURES["scaling"][frame.model]["10 rows"]),
    }
    for frame in (TINY_128, SMALL_128)
}
OFF = {
    "prefetch": Schedule(prefetch=False),
    "attention reordering": Schedule(query_rows=1),
    "single-pass softmax": Schedule(softmax_sweeps=3),
}


def estimate(frame, configuration=FULL, schedule=Schedule(), bytes_per_cycle=BYTES_PER_CYCLE, hurry=False):  # noqa: B008 - frozen
    model = frame_recipe(frame).model
    architecture = model.architecture
    everyone = dict.fromkeys(architecture.moe_blocks, tuple(range(architecture.experts)))
    tasks = {
        task.name: Task("depth", task.channels, model.resolution, 1.0, architecture.top_k, everyone)
        for task in model.tasks
    }
    return estimate_frame(
        architecture, tasks, frame.sequence[0], configuration, schedule, bytes_per_cycle=bytes_per_cycle, hurry=hurry
    )


def assert_near(found, recorded):
    encoder, whole = recorded
    assert found.encoder_cycles == pytest.approx(encoder, rel=ESTIMATE_TOLERANCE)
    assert found.cycles == pytest.approx(whole, rel=ESTIMATE_TOLERANCE)


@pytest.mark.parametrize(
    ("machine", "frame"),
    RECORDED_FRAMES,
    ids=lambda value: value.name if isinstance(value, HardwareConfiguration) else f"{value.model} {value.input}",
)
def test_frames(machine, frame):
    assert_near(estimate(frame, machine), RECORDED_FRAMES[machine, frame])


@pytest.mark.parametrize("label", RECORDED_SCALING[TINY_128])
@pytest.mark.parametrize("frame", RECORDED_SCALING, ids=lambda frame: frame.model)
def test_other_arrays_and_rates(frame, label):
    cases = scaling_cases(ZCU104, frame, (4, 6, 10, 24), (32 / 3, 64 / 3, BYTES_PER_CYCLE, 64.0))
    (case,) = (case for case in cases if case.label == label)
    assert_near(
        estimate(frame, case.configuration, bytes_per_cycle=case.bytes_per_cycle), RECORDED_SCALING[frame][label]
    )


@pytest.mark.parametrize("technique", OFF)
def test_techniques_off(technique):
    assert_near(estimate(TINY_128, ZCU104, OFF[technique]), FIGURES["ablation"][technique])


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame.model} {frame.input}")
def test_repeated_blocks_stand_for_those_left_out(frame):
    short, whole = estimate(frame, hurry=True), estimate(frame)
    assert list(short.layers) == list(whole.layers)
    assert sum(short.layers.values()) == pytest.approx(short.cycles)
    for exact in ("steps", "macs", "read_bytes", "written_bytes", "instructions"):
        assert getattr(short, exact) == getattr(whole, exact)
    assert short.cycles == pytest.approx(whole.cycles, rel=0.005)
    assert short.encoder_cycles == pytest.approx(whole.encoder_cycles, rel=0.005)


def test_a_later_block_without_room_is_refused_as_generate_refuses_it():
    """Its weights would fit, but not between the routers of the groups that the block before runs its experts in."""
    architecture = Architecture(72, 72, 8, 80, 4, 4, 240, 80, 8, 2, (0, 1, 2, 3))
    tasks = {"depth": Task("depth", 1, 8, 1.0, 2, {block: tuple(range(8)) for block in range(4)})}
    little = dataclasses.replace(
        load_configuration("tiny"), act_bytes=40960, act_ultra_bytes=0, shared_bytes=0, weight_bytes=40192
    )
    assert estimate_frame(architecture, tasks, "depth", little, hurry=True).cycles > 0
    with pytest.raises(UserError, match=r"no room for blocks\.2\.values"):
        estimate_frame(architecture, tasks, "depth", little)
    with pytest.raises(UserError, match=r"no room for blocks\.2\.values"):
        generate(random_bundle(architecture, tasks, seed=1), little)


def test_blocks_that_differ_are_all_lowered():
    architecture = frame_recipe(TINY_128).model.architecture
    kept = {block: tuple(range(16)) for block in architecture.moe_blocks}
    task = Task("depth", 1, 2, 1.0, architecture.top_k, kept)
    assert estimation._repetition(architecture, [task]) == (2, 4)
    pruned = dataclasses.replace(task, pathway={**kept, architecture.moe_blocks[2]: (0, 3, 7, 8)})
    assert estimation._repetition(architecture, [pruned]) == (0, 0)


@pytest.mark.slow
def test_tokens_on_their_own_load_only_their_experts():
    """Bytes of experts: tokens * top_k * bytes of one, for each of the six blocks that have some."""
    architecture = frame_recipe(TINY_128).model.architecture
    together, alone = estimate(TINY_128), estimate(TINY_128, schedule=Schedule(expert_tokens=1))
    a, c = architecture, FULL
    one = 2 * a.width * a.expert_hidden + 8 * (a.width + a.expert_hidden)
    blocks = len(a.moe_blocks)
    programs = 64 * sum(alone.instructions.values()) - 64 * sum(together.instructions.values())
    more = blocks * (a.tokens * a.top_k - a.experts) * one
    assert a.width % c.tile_columns == a.expert_hidden % c.tile_columns == 0
    assert alone.read_bytes - together.read_bytes - programs == pytest.approx(more, rel=1e-3)


def test_a_vector_pass_is_added_for_gelu():
    on, off = estimate(TINY_128), estimate(TINY_128, schedule=Schedule(gelu_pass=True))
    assert (
        off.instructions["softmax"] > on.instructions["softmax"]
        and off.instructions["matmul"] == on.instructions["matmul"]
    )
    assert off.cycles >= on.cycles


def test_less_of_anything_takes_longer():
    """Fewer rows, lower rates and a longer way to DRAM never make a frame faster."""
    slow = dataclasses.replace(FULL, name="slow", tile_rows=4)
    assert estimate(TINY_128, slow).cycles > estimate(TINY_128).cycles
    assert estimate(TINY_128, bytes_per_cycle=16.0).cycles > estimate(TINY_128).cycles
    assert CycleModel(FULL, latency=600).run([]).cycles > CycleModel(FULL).run([]).cycles


def test_queues_of_pathways_with_different_experts():
    """Tokens of each router are spread over the experts that it may choose, and add up."""
    queues = cycle_model._Queues(None)
    every = {"columns": 4, "top_k": 2, "rows": 30, "absent_low": 0, "absent_high": 0}
    queues.route(every)
    queues.route({**every, "append": 1, "rows": 10})
    assert queues._counts == [20.0] * 4
    queues.route({**every, "append": 1, "rows": 6, "absent_low": 0b0111, "top_k": 1})
    assert queues._counts == [20.0, 20.0, 20.0, 26.0]
    queues.route({**every, "append": 1, "rows": 8, "absent_low": 0b1100})
    assert queues._counts == [28.0, 28.0, 20.0, 26.0]
    queues.route({**every, "rows": 30})
    assert queues._counts == [15.0] * 4
