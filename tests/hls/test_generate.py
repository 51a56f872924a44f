import dataclasses
import re

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler import lowering
from moesaic.hls.compiler.generate import generate
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.hardware.resource_estimate import check_fit, estimate_resources, judge
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.spec.board import board_of, known_boards
from moesaic.spec.build import load_build
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import load_configuration
from moesaic.spec.cost import frame_macs
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import ARCHITECTURES, MIXED_BITS, ODD, REGISTERS, SMALL, network, picture, tasks_of
from tests.hls.random_bundle import random_bundle

TINY = load_configuration("tiny")
CONFIGURATIONS = {
    "tiny": TINY,
    "three rows": dataclasses.replace(TINY, name="three", tile_rows=3, act_ports=1, act_banks=2),
    "wide": dataclasses.replace(
        TINY,
        name="wide",
        tile_rows=5,
        act_ports=1,
        tile_columns=32,
        tile_depth=8,
        act_bytes=1 << 18,
        weight_bytes=1 << 18,
    ),
    "zcu104": load_configuration("zcu104"),
}
# So little memory that attention runs in slices of query rows, MLPs in blocks of rows, experts in slices of their queues.
SLICED = {"small": 6144, "odd": 10240, "narrow heads": 14336, "whole tiles": 20480, "five prefix tokens": 7168}
SCHEDULES = {
    "no prefetch": Schedule(prefetch=False),
    "five tokens at a time": Schedule(expert_tokens=5),
    "token by token": Schedule(expert_tokens=1, query_rows=1),
    "three sweeps": Schedule(softmax_sweeps=3),
    "GELU as a pass": Schedule(gelu_pass=True),
    "all off": Schedule(prefetch=False, expert_tokens=1, query_rows=1, softmax_sweeps=3, gelu_pass=True),
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_layer_of_every_task_is_what_the_integer_network_computes(
    architecture: Architecture, configuration
) -> None:
    assert_layers_are_right(architecture, configuration, Schedule())


@pytest.mark.parametrize("name", SLICED)
def test_every_layer_is_right_where_whole_matrices_do_not_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []
    plan = lowering.ProgramPlan
    monkeypatch.setattr(lowering, "ProgramPlan", lambda *arguments: plans.append(plan(*arguments)) or plans[-1])
    little = dataclasses.replace(TINY, name="little", act_bytes=SLICED[name], act_ultra_bytes=0, shared_bytes=4096)
    architectures = ARCHITECTURES | {"five prefix tokens": dataclasses.replace(SMALL, prefix_tokens=5)}
    assert_layers_are_right(architectures[name], little, Schedule())
    assert all(len(plan.slices) > 1 for plan in plans)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("architecture", [SMALL, ODD, MIXED_BITS], ids=["small", "odd", "mixed bits"])
def test_every_layer_is_right_on_every_schedule(architecture: Architecture, schedule: Schedule) -> None:
    assert_layers_are_right(architecture, TINY, schedule)


def assert_layers_are_right(architecture: Architecture, configuration, schedule: Schedule) -> None:
    bundle = network(architecture, 5)
    observed = generate(bundle, configuration, observe=True, schedule=schedule)
    integer = IntegerNetwork(architecture, bundle.tasks, bundle.tensors)
    checks = check_layers(ReferenceMachine(configuration), observed, integer, picture(architecture, 0))
    assert set(checks) == set(bundle.tasks)
    for task, layers in checks.items():
        assert len(layers) >= 4 + 7 * architecture.depth
        assert layers == dict.fromkeys(layers, 0), task


def test_the_layer_check_sees_one_wrong_weight() -> None:
    bundle = network(SMALL, 5)
    observed = generate(bundle, TINY, observe=True)
    altered = {**bundle.tensors, "blocks.1.experts.2.down.bias": bundle.tensors["blocks.1.experts.2.down.bias"] + 5000}
    checks = check_layers(
        ReferenceMachine(TINY), observed, IntegerNetwork(SMALL, bundle.tasks, altered), picture(SMALL, 0)
    )
    assert checks["normals"]["blocks.1.output"] > 0 and checks["normals"]["blocks.1.router"] == 0


@pytest.mark.parametrize("observe", [False, True], ids=["plain", "observed"])
def test_the_same_bundle_gives_the_same_bytes(tmp_path, observe: bool) -> None:
    contents = []
    for name in ("one", "two"):
        directory = tmp_path / name
        generate(network(ODD, 1), TINY, observe=observe).save(directory)
        contents.append(
            {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        )
    assert contents[0] == contents[1] and len(contents[0]) > 20
    assert load_build(tmp_path / "one").tasks == generate(network(ODD, 1), TINY, observe=observe).tasks


def test_lines_of_patches_that_are_no_whole_beats_are_padded_in_the_frame(tmp_path) -> None:
    generate(network(REGISTERS, 1), TINY).save(tmp_path / "build")
    build, image = load_build(tmp_path / "build"), picture(REGISTERS, 3)
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    stored = memory.frame[build.image_offset :][: build.image_bytes].reshape(28, 4, 16, 4)
    assert np.array_equal(stored[:, :, :14, :3].reshape(28, 56, 3), image ^ 0x80)
    assert not stored[:, :, 14:].any() and not stored[..., 3].any()


def test_observation_changes_no_output() -> None:
    bundle = network(ODD, 2)
    outputs = []
    for observe in (False, True):
        build = generate(bundle, TINY, observe=observe)
        memory = build.new_memory()
        build.write_image(memory.frame, picture(ODD, 1))
        ReferenceMachine(TINY).run(build.tasks["normals"].program, memory, 0)
        outputs.append(build.read_output(memory.frame, "normals"))
    assert np.array_equal(*outputs)


def test_a_task_writes_only_its_own_output() -> None:
    bundle = network(SMALL, 3)
    build = generate(bundle, TINY)
    image = picture(SMALL, 2)
    for name, task in build.tasks.items():
        memory = build.new_memory()
        build.write_image(memory.frame, image)
        before = memory.frame.copy()
        ReferenceMachine(TINY).run(task.program, memory, 0)
        size = 2 * int(np.prod(task.output_shape))
        changed = np.flatnonzero(memory.frame != before)
        assert task.output_offset <= changed.min() and changed.max() < task.output_offset + size, name


def test_multiply_accumulates_are_those_of_the_network() -> None:
    a = SMALL
    task = tasks_of(a)["normals"]
    patches, tokens, width = 16, 17, 32
    dense = tokens * 2 * width * 64
    moe = tokens * width * 4 + 2 * tokens * 2 * width * 32
    attention = 4 * tokens * width * width + 2 * tokens * tokens * width
    expected = patches * 8 * 8 * 3 * width + 2 * attention + dense + moe + patches * width * 8 * 8 * 3
    assert frame_macs(a, task) == expected


@pytest.mark.parametrize("board", known_boards())
def test_the_configuration_of_a_board_is_inside_the_guidelines(board: str) -> None:
    configuration = load_configuration(board)
    assert board_of(configuration).name == board
    assert all(judgement.kept for judgement in judge(configuration, check_fit(configuration)))


def test_zcu104_full_fits_its_device_and_a_larger_array_does_not() -> None:
    full = load_configuration("zcu104-full")
    need = check_fit(full)
    assert need.dsp <= 1728 and need.bram36 <= 312 and need.uram <= 96 and need.lut <= 230_400
    broken = {
        judgement.guideline: (judgement.found, judgement.limit) for judgement in judge(full, need) if not judgement.kept
    }
    assert broken["DSP48E2"] == (need.dsp, 1382)
    larger = dataclasses.replace(full, name="larger", tile_rows=16)
    with pytest.raises(UserError) as caught:
        check_fit(larger)
    match = re.search(r"larger does not fit XCZU7EV: it needs about (\d+) dsp, the part has (\d+);", str(caught.value))
    assert int(match[1]) == estimate_resources(larger).dsp > int(match[2])
    with pytest.raises(UserError, match="does not fit"):
        generate(network(SMALL, 0), larger)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_height": 320, "image_width": 320}, "the number of tokens is 1601, at most 128"),
        ({"image_height": 40, "image_width": 40, "patch": 40}, "depth of a product is 6400, at most 4096"),
        ({"mlp_hidden": 5000}, "depth of a product is 5000, at most 4096"),
        ({"width": 1056, "heads": 2}, "the width is 1056, at most 1024"),
        ({"width": 512, "mlp_hidden": 2048}, r"needs? \d+ bytes of \w+ memory, \d+"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_model_that_does_not_fit_is_refused_with_both_numbers(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(network(dataclasses.replace(SMALL, **change), 0), TINY)


def test_a_device_that_nobody_knows_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"part XC7 is unknown; known: XCZU7EV"):
        check_fit(dataclasses.replace(TINY, part="XC7"))


def test_limits_name_the_number_that_is_compared():
    """Many narrow heads: each is padded to a column tile, so the projection becomes deeper than an operand row."""
    architecture = Architecture(16, 16, 8, 520, 1, 520, 8, 8, 2, 1, ())
    task = Task("depth", 1, 8, 1.0, 1, {})
    with pytest.raises(UserError, match="the depth of a product is 4160, at most 4096"):
        generate(random_bundle(architecture, {"depth": task}, 0), TINY)
