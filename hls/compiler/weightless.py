"""Targets made from sizes alone: they are lowered as if they had real weights, but none are stored."""

from __future__ import annotations

import math

import numpy as np

from moesaic.hls.compiler.constants import Constants, block_sizes
from moesaic.hls.compiler.frame_layout import FrameLayout
from moesaic.hls.compiler.padded_layers import image_bytes, stored_shape
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.target import Target
from moesaic.spec.bundle import Architecture, Bundle, Task, expected_tensors
from moesaic.spec.configuration import HardwareConfiguration

_FAST = Schedule()


def weightless_target(
    architecture: Architecture,
    tasks: dict[str, Task],
    pathway: str,
    configuration: HardwareConfiguration,
    schedule: Schedule = _FAST,
) -> Target:
    """One pathway of a network whose tensors have the right shapes and dtypes but are zeros that take no memory."""
    constants = Constants()
    for name, size in block_sizes(architecture, tasks, configuration):
        constants.add(name, size, lambda: np.empty(0, np.uint8))
    frame = FrameLayout()
    image = frame.allocate(image_bytes(architecture))
    output = frame.allocate(2 * math.prod(stored_shape(architecture, tasks[pathway])))
    tensors = {
        name: np.broadcast_to(np.zeros((), dtype), shape)
        for name, (shape, dtype) in expected_tensors(architecture, tasks).items()
    }
    bundle = Bundle("weightless", architecture, tasks, tensors, {})
    return Target(bundle, configuration, constants, pathway, image, output, frame.end, schedule=schedule)
