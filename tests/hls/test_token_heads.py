"""Programs of classifications and features: layer by layer, and what they cost."""

import dataclasses

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.generate import generate
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.spec.arithmetic import MEAN_SHIFT, fixed_point_multiplier, mean_of_rows
from moesaic.spec.build import Build, load_build
from moesaic.spec.bundle import Architecture, Task, load_bundle, output_shape
from moesaic.spec.configuration import load_configuration
from moesaic.spec.cost import dram_bytes, frame_macs, weight_bytes
from moesaic.spec.heads import blocks_run, logits
from moesaic.spec.isa import INSTRUCTION_BYTES, decode
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import ARCHITECTURES, REGISTERS, SMALL, picture, tasks_of, token_tasks_of
from tests.hls.random_bundle import random_bundle

TINY, ZCU104 = load_configuration("tiny"), load_configuration("zcu104")
LITTLE = dataclasses.replace(TINY, name="little", act_bytes=7168, act_ultra_bytes=0, shared_bytes=4096)
TWO = dataclasses.replace(SMALL, prefix_tokens=2)


@pytest.mark.parametrize("configuration", [TINY, ZCU104], ids=["tiny", "zcu104"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES.values(), TWO], ids=[*ARCHITECTURES, "two prefix tokens"])
def test_every_layer_is_what_the_integer_network_computes(architecture: Architecture, configuration) -> None:
    assert_layers_are_right(architecture, configuration)


def test_every_layer_is_right_where_whole_matrices_do_not_fit() -> None:
    assert_layers_are_right(dataclasses.replace(SMALL, prefix_tokens=5), LITTLE)


def test_every_layer_is_right_where_a_head_is_loaded_in_parts() -> None:
    little = dataclasses.replace(TINY, name="little", weight_bytes=24576, shared_bytes=4096)
    tasks = {"class": wide("class"), "mean": wide("mean")}
    bundle = random_bundle(SMALL, tasks, 4)
    observed = generate(bundle, little, observe=True)
    assert loads(observed, "class", "heads.class.class") == 9 and loads(observed, "mean", "heads.mean.mean") == 2 * 9
    checks = check_layers(
        ReferenceMachine(little), observed, IntegerNetwork(SMALL, tasks, bundle.tensors), picture(SMALL, 1)
    )
    assert all(layers == dict.fromkeys(layers, 0) for layers in checks.values())


def loads(build: Build, task: str, layer: str) -> int:
    """How many load instructions of a task's program bring a layer's weights."""
    program, tag = build.tasks[task].program, build.tags.index(layer)
    code = build.constants[program.offset :][: program.size].tobytes()
    decoded = [decode(code[i : i + INSTRUCTION_BYTES]) for i in range(0, len(code), INSTRUCTION_BYTES)]
    return sum(one is not None and one[0] == "load" and one[1]["tag"] == tag for one in decoded)


def wide(pooling: str) -> Task:
    return Task("classification", 400, 1, 1e-3, 2, {1: (0, 1, 2, 3)}, pooling=pooling)


def assert_layers_are_right(architecture: Architecture, configuration) -> None:
    tasks = tasks_of(architecture) | token_tasks_of(architecture)
    bundle = random_bundle(architecture, tasks, 5)
    observed = generate(bundle, configuration, observe=True)
    integer = IntegerNetwork(architecture, tasks, bundle.tensors)
    checks = check_layers(ReferenceMachine(configuration), observed, integer, picture(architecture, 0))
    for name, layers in checks.items():
        assert len(layers) >= 3 + 7 * blocks_run(architecture, tasks[name])
        assert layers == dict.fromkeys(layers, 0), name


def test_features_of_a_block_run_no_later_block() -> None:
    tasks = token_tasks_of(SMALL)
    build = generate(random_bundle(SMALL, tasks, 1), TINY, observe=True)
    blocks = {
        name: {layer.split(".")[1] for layer in task.observations if layer.startswith("blocks.")}
        for name, task in build.tasks.items()
    }
    assert blocks["features"] == {"0", "1"} and blocks["features_0"] == {"0"}
    assert build.tasks["features_0"].program.size < build.tasks["features"].program.size
    assert frame_macs(SMALL, tasks["features_0"]) < frame_macs(SMALL, tasks["features"])
    assert dram_bytes(SMALL, tasks["features_0"]) < dram_bytes(SMALL, tasks["features"])


def test_multiply_accumulates_and_bytes_of_a_head_are_those_of_the_rows_it_reads() -> None:
    tasks = token_tasks_of(REGISTERS)
    width, patches = REGISTERS.width, REGISTERS.patches
    encoder = frame_macs(REGISTERS, tasks["features"])
    rows = {"class": 1, "mean": patches, "class+mean": 1 + patches, "class+distillation": 2, "mean_before_norm": 1}
    for task in tasks.values():
        if task.kind == "classification":
            assert frame_macs(REGISTERS, task) - encoder == rows[task.pooling] * width * task.channels
            assert output_shape(REGISTERS, task) == (1, rows[task.pooling], task.channels)
    one, two = tasks["classes_0"], dataclasses.replace(tasks["classes_0"], pooling="class+mean")
    assert weight_bytes(REGISTERS, two) - weight_bytes(REGISTERS, one) == one.channels * (width + 4 + 2 + 1)


def test_an_estimate_of_features_is_that_of_the_network_cut_there() -> None:
    deep = dataclasses.replace(SMALL, depth=6, moe_blocks=(1, 3, 5))
    cut = dataclasses.replace(SMALL, depth=4, moe_blocks=(1, 3))
    every = (0, 1, 2, 3)
    early = Task("features", 32, 1, 1e-3, 2, {1: every, 3: every}, last_block=3)
    last = dataclasses.replace(early, last_block=None)
    tasks = {"early": early, "late": Task("depth", 1, 8, 1e-3, 2, dict.fromkeys((1, 3, 5), every))}
    found, expected = estimate_frame(deep, tasks, "early", TINY), estimate_frame(cut, {"early": last}, "early", TINY)
    assert found == expected and 0 < found.encoder_cycles < found.cycles
    assert "heads.early" in found.layers and "blocks.4.attention" not in found.layers


def test_bundles_and_builds_keep_what_is_special_about_a_task(tmp_path) -> None:
    bundle = random_bundle(REGISTERS, tasks_of(REGISTERS) | token_tasks_of(REGISTERS), 2)
    bundle.save(tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").tasks == bundle.tasks
    build = generate(bundle, TINY)
    build.save(tmp_path / "build")
    assert load_build(tmp_path / "build").tasks == build.tasks
    text = (tmp_path / "bundle" / "bundle.json").read_text()
    assert text.count('"pooling"') == 5 and text.count('"last_block"') == 1
    assert (tmp_path / "build" / "build.json").read_text().count('"grid"') == 2
    features, depth = build.tasks["features"], build.tasks["depth"]
    assert (features.grid, features.prefix_tokens) == (REGISTERS.grid, 5)
    assert (depth.grid, depth.prefix_tokens, depth.pooling) == ((0, 0), 0, "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "max"}, "pooling 'max' is none of class, mean"),
        ({"pooling": "class+distillation"}, "needs 2 prefix tokens, the network has 1"),
        ({"last_block": 0}, "last_block 0 is for features, its kind is classification"),
        ({"upscale": 2}, "its upscale is 2, of kind classification it is 1"),
        ({"kind": "depth"}, "pooling 'class' is for a classification, its kind is depth"),
        ({"kind": "features", "pooling": ""}, "it has 11 channels, features have the network's width, 32"),
        ({"kind": "features", "pooling": "", "channels": 32, "last_block": 2}, "last_block is 2, not an integer from 0 to 1"),
        ({"kind": "features", "pooling": "", "channels": 32, "last_block": 0}, "its pathway is for blocks \\[1\\], experts are in \\[\\]"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_is_refused(tmp_path, change: dict, message: str) -> None:
    bundle = random_bundle(SMALL, token_tasks_of(SMALL), 2)
    bundle.tasks["classes_0"] = dataclasses.replace(bundle.tasks["classes_0"], **change)
    bundle.save(tmp_path / "b")
    with pytest.raises(UserError, match=f"task classes_0: .*{message}"):
        load_bundle(tmp_path / "b")


def test_a_task_has_a_plain_name(tmp_path) -> None:
    bundle = random_bundle(SMALL, token_tasks_of(SMALL), 2)
    bundle.tasks["a.b"] = bundle.tasks.pop("features")
    bundle.save(tmp_path / "b")
    with pytest.raises(UserError, match=r"task 'a\.b' is not named by letters, digits and _"):
        load_bundle(tmp_path / "b")


def test_a_head_too_large_for_the_memory_is_refused_by_its_name() -> None:
    little = dataclasses.replace(TINY, name="little", act_bytes=16384, act_ultra_bytes=0, shared_bytes=4096)
    tasks = {"wide": dataclasses.replace(wide("mean"), channels=4000)}
    with pytest.raises(UserError, match="does not fit configuration little: one row of the task's output"):
        generate(random_bundle(SMALL, tasks, 4), little)


def test_logits_are_exact_sums() -> None:
    raw = np.random.default_rng(0).integers(-32768, 32768, (2, 1025, 3)).astype(np.int16)
    wide = raw.astype(object)
    assert np.array_equal(logits(raw, "class"), (wide.sum(1) / 1025).astype(float))
    assert np.array_equal(logits(raw, "mean"), (wide.sum(1) / 1025).astype(float))
    assert np.array_equal(logits(raw, "class+mean"), (wide[:, 0] + wide[:, 1:].sum(1) / 1024).astype(float))
    assert np.array_equal(logits(raw[:, :2], "class+distillation"), ((wide[:, 0] + wide[:, 1]) / 2).astype(float))
    assert np.array_equal(logits(raw / 7, "mean"), (raw / 7).mean(1))


def test_a_mean_of_tokens_is_exact_but_for_its_last_bits() -> None:
    """The bytes of the extremes, of both signs; without 2 bits of 16 the mean is off by what every channel loses alike."""
    x = np.random.default_rng(1).integers(-32768, 32768, (1201, 64))
    x[:, :4], x[::2, 4] = (-32768, 32767, -1, 0), 255
    multiplier, shift = fixed_point_multiplier(2.0**MEAN_SHIFT / len(x))
    found = mean_of_rows(x.astype(np.int16), multiplier, shift)
    assert np.abs(found - (x.mean(0) - 1.5)).max() < 2.5
    assert np.array_equal(found[:4], [-32768, 32764, -4, 0])


def test_a_mean_of_more_tokens_than_a_row_of_weights_holds_is_refused() -> None:
    large = dataclasses.replace(SMALL, image_height=8 * 16, image_width=8 * 128, moe_blocks=())
    task = dataclasses.replace(wide("mean_before_norm"), pathway={})
    with pytest.raises(UserError, match="the number of tokens of which a head takes the mean is 2049, at most 20"):
        generate(random_bundle(large, {"mean": task}, 4), ZCU104)
