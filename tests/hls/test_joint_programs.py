"""Programs that give several results in one run: each result and each layer as in a run of its own, and every weight loaded once."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.files import manifest_sha256
from moesaic.hls.compiler import lowering
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.generate import generate
from moesaic.hls.compiler.schedule import Schedule
from moesaic.spec.build import Build, load_build
from moesaic.spec.bundle import Alternative, Architecture, Task
from moesaic.spec.configuration import load_configuration
from moesaic.spec.cost import frame_macs, joint_macs
from moesaic.spec.executor import MAX_CYCLES
from moesaic.spec.heads import FEATURES
from moesaic.spec.isa import LoadDestination, Space
from moesaic.spec.issue import read_program
from moesaic.spec.joint_programs import JointProgram, ResultSet, one_picture, one_task
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import ARCHITECTURES, NARROW_HEADS, NO_PREFIX, ODD, SMALL, picture, tasks_of, token_tasks_of
from tests.hls.random_bundle import random_bundle

ROOMY = dataclasses.replace(load_configuration("tiny"), name="roomy", queue_tokens=512, act_bytes=1 << 18)
NAMES = ("normals", "segmentation", "depth")
SETS = {
    "all tasks": one_picture(NAMES),
    "two tasks": one_picture(("depth", "normals")),
    "three images": one_task("segmentation", 3),
    "two tasks of two images": (("normals", 1), ("depth", 0), ("normals", 0), ("depth", 1)),
    "one task of one image, another of two": (("depth", 0), ("normals", 0), ("normals", 1)),
}
# So little memory that attention runs in slices of query rows, MLPs in blocks of rows, experts in groups and slices of their queues.
SLICED = {"small": 12288, "odd": 20480, "narrow heads": 20480}


def after(build: Build, program: JointProgram) -> np.ndarray:
    """The frame window after a run of a program on as many pictures as it has images."""
    memory = build.new_memory()
    for image, offset in enumerate(program.image_offsets):
        build.write_image(memory.frame, picture(build_architecture(build), image), offset)
    ReferenceMachine(build.configuration).run(program.program, memory, MAX_CYCLES)
    return memory.frame


def build_architecture(build: Build) -> Architecture:
    """What `picture` needs to know."""
    return dataclasses.replace(SMALL, image_height=build.image_height, image_width=build.image_width)


def assert_like_single_runs(build: Build) -> None:
    """Every result and every layer of the build's joint programs, against the programs of the single pathways."""
    assert build.joint
    for joint in build.joint:
        frame = after(build, joint)
        for member in joint.members:
            task = build.task(member.pathway)
            alone = build.new_memory()
            build.write_image(alone.frame, picture(build_architecture(build), member.image))
            ReferenceMachine(build.configuration).run(task.program, alone, MAX_CYCLES)
            found = build.read_output(frame, member.pathway, member.output_offset)
            assert np.array_equal(found, build.read_output(alone.frame, member.pathway)), (joint.label, member.pathway)
            assert member.observations.keys() == task.observations.keys()
            for layer, place in task.observations.items():
                expected, got = place.read(alone.frame), member.observations[layer].read(frame)
                assert np.array_equal(got, expected), (joint.label, member.pathway, layer)


@pytest.mark.parametrize("results", SETS.values(), ids=SETS)
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_layer_of_every_result_is_that_of_a_run_of_its_own(
    architecture: Architecture, results: ResultSet
) -> None:
    """The three tasks keep all experts, every other one, and one; the last has another top-k."""
    bundle = random_bundle(architecture, tasks_of(architecture), 5)
    assert_like_single_runs(generate(bundle, ROOMY, observe=True, joint=[results]))


@pytest.mark.parametrize("name", SLICED)
def test_every_layer_is_right_where_whole_matrices_do_not_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []
    plan = lowering.ProgramPlan
    monkeypatch.setattr(lowering, "ProgramPlan", lambda *arguments: plans.append(plan(*arguments)) or plans[-1])
    little = dataclasses.replace(ROOMY, name="little", act_bytes=SLICED[name], act_ultra_bytes=0, shared_bytes=4096)
    bundle = random_bundle(ARCHITECTURES[name], tasks_of(ARCHITECTURES[name]), 6)
    assert_like_single_runs(generate(bundle, little, observe=True, joint=[SETS["all tasks"], SETS["three images"]]))
    assert any(len(plan.slices) > 1 and len(plan.target.members) > 1 for plan in plans)


@pytest.mark.parametrize("schedule", [Schedule(prefetch=False), Schedule(expert_tokens=5, query_rows=1)], ids=str)
def test_every_layer_is_right_on_other_schedules(schedule: Schedule) -> None:
    bundle = random_bundle(SMALL, tasks_of(SMALL), 7)
    assert_like_single_runs(generate(bundle, ROOMY, observe=True, schedule=schedule, joint=list(SETS.values())))


def test_pathways_of_one_task_have_outputs_of_their_own() -> None:
    tasks = tasks_of(SMALL)
    fewer = {"one": Alternative(1, dict.fromkeys(SMALL.moe_blocks, (1,)))}
    bundle = random_bundle(SMALL, tasks | {"normals": dataclasses.replace(tasks["normals"], alternatives=fewer)}, 8)
    build = generate(bundle, ROOMY, observe=True, joint=[one_picture(("normals@one", "normals", "depth"))])
    assert len({member.output_offset for member in build.joint[0].members}) == 3
    assert_like_single_runs(build)


def test_results_that_end_in_different_blocks() -> None:
    """Features of an early block, which no router comes before, leave the lane that the other tasks go on in."""
    a = dataclasses.replace(SMALL, depth=4, moe_blocks=(1, 3), prefix_tokens=2)
    early = Task(FEATURES, a.width, 1, 1e-3, a.top_k, {}, last_block=0)
    middle = Task(FEATURES, a.width, 1, 1e-3, a.top_k, {1: (0, 2)}, last_block=1)
    tasks = {"early": early, "middle": middle} | tasks_of(a) | token_tasks_of(a)
    bundle = random_bundle(a, tasks, 9)
    sets = [one_picture(("early", "middle")), one_picture(tasks), (("early", 0), ("middle", 1), ("depth", 0))]
    assert_like_single_runs(generate(bundle, ROOMY, observe=True, joint=sets))


def weight_loads(build: Build, program: JointProgram) -> Counter[int]:
    """How often each byte offset of the constant window is loaded into the weight memory."""
    loads = (i.fields for i in read_program(program.program, build.constants, build.configuration) if i.name == "load")
    return Counter(
        fields["dram_offset"]
        for fields in loads
        if fields["destination"] == LoadDestination.WEIGHT and fields["space"] == Space.CONSTANT
    )


@pytest.mark.parametrize(
    "architecture", [SMALL, ODD, NARROW_HEADS, NO_PREFIX], ids=["small", "odd", "narrow", "no prefix"]
)
def test_every_weight_is_loaded_once(architecture: Architecture) -> None:
    bundle = random_bundle(architecture, tasks_of(architecture), 5)
    build = generate(bundle, ROOMY, joint=list(SETS.values()))
    for joint in build.joint:
        assert set(weight_loads(build, joint).values()) == {1}, joint.label
    alone = [weight_loads(build, build.programs_for([name])[0]) for name in NAMES]
    heads = sum(len(loads) for loads in alone) - len(weight_loads(build, build.joint[0]))
    assert heads > 0


def test_what_results_of_an_image_have_in_common_counts_once() -> None:
    tasks = list(tasks_of(SMALL).values())
    one = joint_macs(SMALL, tasks[:1])
    assert one == frame_macs(SMALL, tasks[0])
    a, tokens = SMALL, SMALL.tokens
    attention = 4 * tokens * a.width**2 + 2 * tokens**2 * a.width
    common = a.patches * a.patch**2 * 3 * a.width + 2 * attention + 2 * tokens * a.width * a.mlp_hidden
    assert joint_macs(a, tasks) == sum(frame_macs(a, task) for task in tasks) - 2 * common
    bundle = random_bundle(SMALL, tasks_of(SMALL), 5)
    build = generate(bundle, ROOMY, joint=[SETS["all tasks"], SETS["three images"]])
    assert build.joint[0].macs == joint_macs(a, tasks)
    assert build.joint[1].macs == 3 * build.tasks["segmentation"].macs


def test_single_programs_are_the_same_with_joint_ones_beside_them() -> None:
    bundle = random_bundle(SMALL, tasks_of(SMALL), 5)
    plain, joint = generate(bundle, ROOMY), generate(bundle, ROOMY, joint=list(SETS.values()))

    def codes(build: Build) -> dict[str, bytes]:
        places = {name: task.program for name, task in build.tasks.items()}
        return {name: build.constants[p.offset : p.offset + p.size].tobytes() for name, p in places.items()}

    assert codes(plain) == codes(joint)


def test_the_manifest_keeps_joint_programs(tmp_path) -> None:
    bundle = random_bundle(SMALL, tasks_of(SMALL), 5)
    build = generate(bundle, ROOMY, observe=True, joint=list(SETS.values()))
    build.save(tmp_path / "build")
    assert load_build(tmp_path / "build").joint == build.joint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda j: j["members"].pop(), "of 1 results: it needs 2 or more"),
        (lambda j: j["members"].append(j["members"][0]), "has normals of image 0 twice"),
        (lambda j: j["members"][0].update(pathway="colour"), "unknown task 'colour'"),
        (lambda j: j["members"][0].update(image=4), r"has images \[0, 4\]: number them from 0 to 1"),
        (lambda j: j["members"][1].update(output_offset=1 << 31), "the output of depth, .* does not lie within"),
        (lambda j: j["image_offsets"].append(0), "has 2 images"),
        (lambda j: j["image_offsets"].__setitem__(0, -16), "an image, .* does not lie within"),
        (lambda j: j["program"].update(offset="0"), "which are no integers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_manifest_is_refused(tmp_path, change, message: str) -> None:
    build = generate(random_bundle(SMALL, tasks_of(SMALL), 5), ROOMY, joint=[one_picture(("normals", "depth"))])
    build.save(tmp_path / "build")
    path = tmp_path / "build" / "build.json"
    manifest = json.loads(path.read_text())
    change(manifest["joint"][0])
    manifest["sha256"] = manifest_sha256(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        load_build(tmp_path / "build")


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (one_picture(("depth",)), "of 1 results: it needs 2 or more"),
        (one_picture(("depth", "depth")), "has depth of image 0 twice: name each result once"),
        ((("depth", 0), ("depth", 2)), r"has images \[0, 2\]: number them from 0 to 1"),
        (one_picture(("depth", "colour")), "unknown task 'colour': bundle random has normals, segmentation, depth"),
    ],
    ids=["one", "twice", "gap", "unknown"],
)
def test_sets_that_make_no_sense(results: ResultSet, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(random_bundle(SMALL, tasks_of(SMALL), 5), ROOMY, joint=[results])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"queue_tokens": 32},
            "of all results together is 51, at most 32 are supported there; ask for fewer results of a run, or",
        ),
        (
            {"act_bytes": 6144, "act_ultra_bytes": 0, "shared_bytes": 0},
            r"needs \d+ bytes of act memory, \d+ of 6144 are available",
        ),
    ],
    ids=["queues", "streams"],
)
def test_what_does_not_fit_is_refused_with_both_numbers(change: dict, message: str) -> None:
    bundle = random_bundle(SMALL, tasks_of(SMALL), 5)
    configuration = dataclasses.replace(ROOMY, **change)
    generate(bundle, configuration)
    with pytest.raises(UserError, match=message):
        generate(bundle, configuration, joint=[SETS["all tasks"]])


def test_estimates_share_what_the_results_have_in_common() -> None:
    tasks = tasks_of(SMALL)
    alone = [estimate_frame(SMALL, tasks, name, ROOMY) for name in NAMES]
    together = estimate_frame(SMALL, tasks, SETS["all tasks"], ROOMY)
    assert max(e.cycles for e in alone) < together.cycles < sum(e.cycles for e in alone)
    assert together.read_bytes < sum(e.read_bytes for e in alone) * 0.6
    assert together.macs == joint_macs(SMALL, list(tasks.values()))


@pytest.mark.parametrize("architecture", [SMALL, NARROW_HEADS], ids=["small", "narrow heads"])
def test_what_fits_a_memory_fits_a_larger_one(architecture: Architecture) -> None:
    """However the layers are split, no size above the least one is refused."""
    bundle, fits = random_bundle(architecture, tasks_of(architecture), 6), []
    for size in range(14 << 10, 40 << 10, 1536):
        configuration = dataclasses.replace(ROOMY, act_bytes=size, act_ultra_bytes=0, shared_bytes=0)
        try:
            generate(bundle, configuration, joint=[SETS["all tasks"], SETS["three images"]])
        except UserError:
            assert not any(fits), size
            fits.append(False)
        else:
            fits.append(True)
    assert any(fits)
