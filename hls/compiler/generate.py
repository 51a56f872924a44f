"""Turns a bundle and a hardware configuration into a build: programs, constants and accelerator sources."""

from __future__ import annotations

import math

import numpy as np

from moesaic.hls.compiler.arena import round_up
from moesaic.hls.compiler.constants import Constants, pack_network
from moesaic.hls.compiler.frame_layout import FrameLayout
from moesaic.hls.compiler.lowering import LoweredTask, lower_task
from moesaic.hls.compiler.padded_layers import image_bytes, patch_pitch, stored_shape
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.target import Target
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.hardware.resource_estimate import check_fit
from moesaic.spec.build import AlternativeProgram, Build, TaskProgram
from moesaic.spec.bundle import Bundle, pathways
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.cost import frame_macs
from moesaic.spec.executor import WINDOW_ALIGNMENT, Program
from moesaic.spec.heads import FEATURES
from moesaic.spec.pathway_names import pathway_name, split_pathway_name

_FAST = Schedule()


def generate(
    bundle: Bundle, configuration: HardwareConfiguration, observe: bool = False, schedule: Schedule = _FAST
) -> Build:
    """The build of a bundle for a configuration; the same inputs give the same bytes.

    observe: also store every layer's result in the frame window, for verification.

    Raises UserError if the configuration does not fit its device, or the model does not fit the configuration.
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
    lowered: dict[str, LoweredTask] = {}
    for name in pathways(bundle.tasks):
        output = outputs[split_pathway_name(name)[0]]
        lowered[name] = lower_task(
            Target(bundle, configuration, constants, name, image_offset, output, frame_end, tags, observe, schedule)
        )
        frame_end, tags = lowered[name].frame_end, lowered[name].tags
    programs = {name: _add_program(constants, name, task) for name, task in lowered.items()}
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
            "act_bytes_peak": max(task.act_peak for task in lowered.values()),
            "constant_bytes": constants.total,
        },
        bundle_sha256=bundle.sha256,
        input=bundle.input,
    )


def _add_program(constants: Constants, name: str, lowered: LoweredTask) -> Program:
    block = f"program.{name}"
    code = lowered.emitter.program()
    constants.add(block, len(code), lambda: np.frombuffer(code, np.uint8))
    return Program(constants.offset[block], len(code))


def _task_program(
    bundle: Bundle, name: str, lowered: dict[str, LoweredTask], programs: dict[str, Program], output_offset: int
) -> TaskProgram:
    task, every = bundle.tasks[name], pathways(bundle.tasks)
    alternatives = {}
    for alternative in task.alternatives:
        path = pathway_name(name, alternative)
        alternatives[alternative] = AlternativeProgram(
            program=programs[path],
            macs=frame_macs(bundle.architecture, every[path]),
            metrics=every[path].metrics,
            observations=lowered[path].observations,
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
        observations=lowered[name].observations,
        metrics=task.metrics,
        alternatives=alternatives,
        output=task.output,
        pooling=task.pooling,
        grid=bundle.architecture.grid if task.kind == FEATURES else (0, 0),
    )


def _padded(constants: np.ndarray) -> np.ndarray:
    padded = np.zeros(round_up(len(constants), WINDOW_ALIGNMENT), np.uint8)
    padded[: len(constants)] = constants
    return padded
