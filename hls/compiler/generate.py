"""Turns a bundle and a hardware configuration into a build: programs, constants and accelerator sources."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from moesaic.errors import UserError
from moesaic.hls.compiler.arena import round_up
from moesaic.hls.compiler.constants import Constants, pack_network
from moesaic.hls.compiler.frame_layout import FrameLayout
from moesaic.hls.compiler.lowering import LoweredProgram, lower_program
from moesaic.hls.compiler.padded_layers import image_bytes, patch_pitch, stored_shape
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.shared_routers import add_router_blocks
from moesaic.hls.compiler.target import Member, Target
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.hardware.resource_estimate import check_fit
from moesaic.spec.build import AlternativeProgram, Build, TaskProgram
from moesaic.spec.bundle import Bundle, pathways
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.cost import frame_macs, run_macs
from moesaic.spec.executor import WINDOW_ALIGNMENT, Program
from moesaic.spec.heads import FEATURES
from moesaic.spec.joint_programs import JointMember, JointProgram, ResultSet, checked_results
from moesaic.spec.observation import Observation
from moesaic.spec.pathway_names import pathway_name, split_pathway_name

_FAST = Schedule()


def generate(
    bundle: Bundle,
    configuration: HardwareConfiguration,
    observe: bool = False,
    schedule: Schedule = _FAST,
    joint: Sequence[ResultSet] = (),
) -> Build:
    """The build of a bundle for a configuration; the same inputs give the same bytes.

    observe: also store every layer's result in the frame window, for verification.
    joint: what the joint programs, beside those of the single tasks, are to give (moesaic.spec.joint_programs).

    Raises UserError if the configuration does not fit its device, the model does not fit the configuration, or a joint program has a
    pathway that the bundle does not have.
    """
    estimate = check_fit(configuration)
    a = bundle.architecture
    constants = pack_network(bundle, configuration)
    if observe:
        constants.add("zeros", configuration.act_word_bytes, lambda: np.zeros(configuration.act_word_bytes, np.uint8))
    frame = FrameLayout()
    image_offset = frame.allocate(image_bytes(a))
    outputs = {name: frame.allocate(2 * math.prod(stored_shape(a, bundle.tasks[name]))) for name in bundle.tasks}
    frame_end, tags = frame.end, ()
    lowered: dict[str, LoweredProgram] = {}
    for name in pathways(bundle.tasks):
        output = outputs[split_pathway_name(name)[0]]
        members = (Member(name, 0, output),)
        lowered[name] = lower_program(
            Target(bundle, configuration, constants, members, (image_offset,), frame_end, tags, observe, schedule)
        )
        frame_end, tags = lowered[name].frame_end, lowered[name].tags
    jointly: list[tuple[Target, LoweredProgram]] = []
    for results in joint:
        members, images, frame_end = _joint_places(bundle, results, image_offset, outputs, frame_end)
        target = Target(bundle, configuration, constants, members, images, frame_end, tags, observe, schedule)
        add_router_blocks(target)
        jointly.append((target, lower_program(target)))
        frame_end, tags = jointly[-1][1].frame_end, jointly[-1][1].tags
    programs = {name: _add_program(constants, name, task) for name, task in lowered.items()}
    joint_programs = tuple(_joint_program(*each) for each in jointly)
    tasks = {name: _task_program(bundle, name, lowered, programs, outputs[name]) for name in bundle.tasks}
    padded = patch_pitch(a) != a.patch
    return Build(
        name=f"{bundle.name}-{configuration.name}",
        configuration=configuration,
        image_height=a.image_height,
        image_width=a.image_width,
        image_offset=image_offset,
        image_patch=a.patch if padded else 0,
        image_pitch=patch_pitch(a) if padded else 0,
        frame_bytes=round_up(frame_end, WINDOW_ALIGNMENT),
        tasks=tasks,
        tags=tags,
        constants=_padded(constants.image()),
        files=accelerator_sources(configuration),
        report={
            "resources": estimate.to_dict(),
            "act_bytes_peak": max(task.act_peak for task in (*lowered.values(), *(each for _, each in jointly))),
            "constant_bytes": constants.total,
        },
        bundle_sha256=bundle.sha256,
        input=bundle.input,
        joint=joint_programs,
    )


def _joint_places(
    bundle: Bundle, results: ResultSet, image_offset: int, outputs: dict[str, int], frame_end: int
) -> tuple[tuple[Member, ...], tuple[int, ...], int]:
    """The members of a joint program, where its images begin, and the end of the frame window.

    The first image lies where that of single runs does, and so does the first output that each task has of it.
    """
    every = pathways(bundle.tasks)
    for name, _ in checked_results(results):
        if name not in every:
            raise UserError(
                f"a joint program has the unknown task {name!r}: bundle {bundle.name} has {', '.join(every)}"
            )
    frame, free = FrameLayout(frame_end), dict(outputs)
    images = (
        image_offset,
        *(frame.allocate(image_bytes(bundle.architecture)) for _ in range(max(i for _, i in results))),
    )
    members = []
    for name, image in results:
        task = split_pathway_name(name)[0]
        place = free.pop(task, None) if image == 0 else None
        if place is None:
            place = frame.allocate(2 * math.prod(stored_shape(bundle.architecture, bundle.tasks[task])))
        members.append(Member(name, image, place))
    return tuple(members), images, frame.end


def _joint_program(target: Target, lowered: LoweredProgram) -> JointProgram:
    members = tuple(
        JointMember(member.pathway, member.image, member.output_offset, lowered.observations[member])
        for member in target.members
    )
    results = tuple((member.pathway, member.image) for member in members)
    name = "+".join(f"{pathway}#{image}" for pathway, image in results)
    return JointProgram(
        program=_add_program(target.constants, name, lowered),
        image_offsets=target.image_offsets,
        members=members,
        macs=run_macs(target.architecture, pathways(target.bundle.tasks), results),
    )


def _add_program(constants: Constants, name: str, lowered: LoweredProgram) -> Program:
    block = f"program.{name}"
    code = lowered.emitter.program()
    constants.add(block, len(code), lambda: np.frombuffer(code, np.uint8))
    return Program(constants.offset[block], len(code))


def _task_program(
    bundle: Bundle, name: str, lowered: dict[str, LoweredProgram], programs: dict[str, Program], output_offset: int
) -> TaskProgram:
    task, every = bundle.tasks[name], pathways(bundle.tasks)
    alternatives = {}
    for alternative in task.alternatives:
        path = pathway_name(name, alternative)
        alternatives[alternative] = AlternativeProgram(
            program=programs[path],
            macs=frame_macs(bundle.architecture, every[path]),
            metrics=every[path].metrics,
            observations=_observations(lowered[path]),
        )
    return TaskProgram(
        program=programs[name],
        output_offset=output_offset,
        output_shape=stored_shape(bundle.architecture, bundle.tasks[name]),
        channels=task.channels,
        kind=task.kind,
        output_scale=task.output_scale,
        macs=frame_macs(bundle.architecture, task),
        class_names=task.class_names,
        observations=_observations(lowered[name]),
        metrics=task.metrics,
        alternatives=alternatives,
        output=task.output,
        pooling=task.pooling,
        grid=bundle.architecture.grid if task.kind == FEATURES else (0, 0),
    )


def _observations(lowered: LoweredProgram) -> dict[str, Observation]:
    """Those of a program with a single member."""
    (found,) = lowered.observations.values()
    return found


def _padded(constants: np.ndarray) -> np.ndarray:
    padded = np.zeros(round_up(len(constants), WINDOW_ALIGNMENT), np.uint8)
    padded[: len(constants)] = constants
    return padded
