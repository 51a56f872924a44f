"""Several pathways of a task in one build: each exact, all on the same weights."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.files import manifest_sha256
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.generate import generate
from moesaic.hls.compiler.weight_layout import linear_bytes
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.spec.build import load_build
from moesaic.spec.bundle import Alternative, Bundle, expected_tensors, load_bundle, pathways
from moesaic.spec.configuration import load_configuration
from moesaic.spec.cost import dram_bytes, frame_macs, weight_bytes
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import NARROW_HEADS, ODD, SMALL, picture, tasks_of
from tests.hls.random_bundle import random_bundle

TINY = load_configuration("tiny")
ARCHITECTURES = {"small": SMALL, "odd": ODD, "narrow heads": NARROW_HEADS}


def with_alternatives(architecture, seed: int) -> tuple[Bundle, Bundle]:
    """A bundle whose tasks have no alternative, and one that adds some to two of its tasks; the common tensors are the same."""
    a = architecture
    tasks = tasks_of(a)

    def keep(*experts: int) -> dict[int, tuple[int, ...]]:
        return dict.fromkeys(a.moe_blocks, experts)

    more = {
        **tasks,
        "normals": replace(
            tasks["normals"],
            alternatives={
                "half": Alternative(a.top_k - 1, keep(*range(1, a.experts))),
                "same-experts_1": Alternative(1, tasks["normals"].pathway, {"metric": "angle", "float": 20.0}),
            },
        ),
        "depth": replace(tasks["depth"], alternatives={"first": Alternative(1, keep(0))}),
    }
    bundle = random_bundle(a, more, seed)
    plain = {name: bundle.tensors[name] for name in expected_tensors(a, tasks)}
    return Bundle("random", a, tasks, plain, {}), bundle


@pytest.mark.parametrize("seed", [2], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_layer_of_every_pathway_is_what_the_integer_network_computes(architecture, seed: int) -> None:
    bundle = with_alternatives(architecture, seed)[1]
    observed = generate(bundle, TINY, observe=True)
    integer = IntegerNetwork(architecture, bundle.tasks, bundle.tensors)
    checks = check_layers(ReferenceMachine(TINY), observed, integer, picture(architecture, seed))
    every = ["normals", "segmentation", "depth", "normals@half", "normals@same-experts_1", "depth@first"]
    assert list(checks) == list(observed.pathways) == list(pathways(bundle.tasks)) == every
    for name, layers in checks.items():
        assert len(layers) >= 4 + 7 * architecture.depth
        assert layers == dict.fromkeys(layers, 0), name


def test_alternatives_give_other_outputs_than_the_default_and_a_frame_is_free_to_take_any() -> None:
    bundle = with_alternatives(SMALL, 3)[1]
    build, machine = generate(bundle, TINY), ReferenceMachine(TINY)
    integer = IntegerNetwork(SMALL, bundle.tasks, bundle.tensors)
    image = picture(SMALL, 1)
    expected = {name: integer.run(image[None], name)[0] for name in pathways(bundle.tasks)}
    assert not np.array_equal(expected["normals"], expected["normals@half"])
    assert not np.array_equal(expected["normals"], expected["normals@same-experts_1"])
    memory = build.new_memory()
    for name in (
        "normals",
        "normals@half",
        "depth@first",
        "normals",
        "depth",
        "normals@same-experts_1",
        "normals@half",
    ):
        build.write_image(memory.frame, image)
        machine.run(build.task(name).program, memory, 0)
        assert np.array_equal(build.read_output(memory.frame, name), expected[name]), name


@pytest.mark.parametrize("architecture", [SMALL, ODD], ids=["small", "odd"])
def test_the_weights_are_stored_once(architecture) -> None:
    """Only router rows and programs are added, and the default's programs stay as they are, instruction for instruction."""
    without, bundle = with_alternatives(architecture, 4)
    one, several = generate(without, TINY), generate(bundle, TINY)
    added = sum(task.program.size for name, task in several.pathways.items() if name not in one.tasks)
    routers = sum(
        linear_bytes(TINY, len(kept), architecture.width)
        for name, task in pathways(bundle.tasks).items()
        for kept in task.pathway.values()
        if name not in one.tasks
    )
    rounding = 64 * (1 + len(architecture.moe_blocks)) * (len(several.pathways) - len(one.tasks))
    grown = several.report["constant_bytes"] - one.report["constant_bytes"]
    assert added + routers <= grown <= added + routers + rounding
    assert several.frame_bytes == one.frame_bytes
    for name, task in one.tasks.items():
        assert task.program.size == several.tasks[name].program.size


def test_an_alternative_is_estimated_like_a_task() -> None:
    tasks = pathways(with_alternatives(ODD, 4)[1].tasks)
    default, half = (estimate_frame(ODD, tasks, name, TINY) for name in ("normals", "normals@half"))
    assert half.macs == frame_macs(ODD, tasks["normals@half"]) < default.macs
    assert half.read_bytes < default.read_bytes and half.written_bytes == default.written_bytes


def test_a_bundle_and_a_build_from_before_there_were_alternatives_are_read(tmp_path) -> None:
    without, _ = with_alternatives(SMALL, 5)
    without.save(tmp_path / "bundle")
    generate(without, TINY).save(tmp_path / "build")
    for path in (tmp_path / "bundle" / "bundle.json", tmp_path / "build" / "build.json"):
        manifest = json.loads(path.read_text())
        for task in manifest["tasks"].values():
            assert task.pop("alternatives") == {}
        path.write_text(json.dumps({**manifest, "sha256": manifest_sha256(manifest)}))
    assert load_bundle(tmp_path / "bundle").tasks == without.tasks
    assert load_build(tmp_path / "build").tasks == generate(without, TINY).tasks


def test_bundle_and_build_with_alternatives_are_read_back(tmp_path) -> None:
    _, bundle = with_alternatives(ODD, 6)
    bundle.save(tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").tasks == bundle.tasks
    build = generate(bundle, TINY, observe=True)
    build.save(tmp_path / "build")
    loaded = load_build(tmp_path / "build")
    assert loaded.tasks == build.tasks
    half = loaded.tasks["normals"].alternatives["half"]
    assert half.observations and half.macs == frame_macs(ODD, pathways(bundle.tasks)["normals@half"])
    assert half.macs < loaded.tasks["normals"].macs
    assert loaded.tasks["normals"].alternatives["same-experts_1"].metrics == {"metric": "angle", "float": 20.0}


def test_an_unknown_pathway_lists_the_known_ones() -> None:
    build = generate(with_alternatives(SMALL, 7)[1], TINY)
    with pytest.raises(
        UserError, match=r"unknown pathway 'fast' of task normals: .* alternatives half, same-experts_1"
    ):
        build.task("normals@fast")
    with pytest.raises(UserError, match="its default and no alternative"):
        build.task("segmentation@fast")
    with pytest.raises(UserError, match="unknown task 'pose'"):
        build.task("pose@fast")


BROKEN = {
    "too few experts": (
        Alternative(2, {1: (0,)}),
        r"task normals@x: block 1 keeps experts \[0\], it must be 2 or more",
    ),
    "another block": (Alternative(1, {0: (0,)}), r"its pathway is for blocks \[0\], experts are in \[1\]"),
    "an unknown expert": (Alternative(1, {1: (9,)}), r"block 1 keeps experts \[9\]"),
    "no top-k": (Alternative(0, {1: (0,)}), "top_k is 0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_alternative_that_does_not_suit_the_architecture_is_refused(tmp_path, name: str) -> None:
    alternative, message = BROKEN[name]
    without, _ = with_alternatives(SMALL, 8)
    tasks = {**without.tasks, "normals": replace(without.tasks["normals"], alternatives={"x": alternative})}
    replace(without, tasks=tasks).save(tmp_path / "bundle")
    with pytest.raises(UserError, match=message):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["", "a@b", "a.b", "a/b", "ä b"])
def test_an_alternative_of_another_name_is_refused(tmp_path, name: str) -> None:
    without, _ = with_alternatives(SMALL, 9)
    tasks = {
        **without.tasks,
        "depth": replace(without.tasks["depth"], alternatives={name: Alternative(1, {1: (0,)})}),
    }
    replace(without, tasks=tasks).save(tmp_path / "bundle")
    with pytest.raises(UserError, match="is not named by letters, digits, - and _"):
        load_bundle(tmp_path / "bundle")


def test_the_bytes_of_a_pathway_are_those_that_the_machine_loads() -> None:
    """The machine stores 8 bytes of parameters a channel instead of 7, and rows padded to whole tiles; it loads nothing twice here."""
    bundle = with_alternatives(SMALL, 10)[1]
    build, machine = generate(bundle, TINY), ReferenceMachine(TINY)
    for name, task in pathways(bundle.tasks).items():
        read = machine_bytes(build, machine, name)
        exact = dram_bytes(SMALL, task)
        assert exact == weight_bytes(SMALL, task) + 4 * 32 * 32 + 2 * 16 * task.upscale**2 * task.channels
        assert 0.95 * exact < read < 1.25 * exact, name


def machine_bytes(build, machine, name: str) -> int:
    """Bytes that a frame reads and writes, without the program."""
    memory = build.new_memory()
    build.write_image(memory.frame, picture(SMALL, 0))
    counters = machine.run(build.task(name).program, memory, 0)
    return 16 * (counters["read_beats"] + counters["write_beats"]) - build.task(name).program.size
