"""Targets made from sizes alone: they are lowered as if they had real weights, but none are stored."""

from __future__ import annotations

import math

import numpy as np

from moesaic.errors import UserError
from moesaic.hls.compiler.constants import Constants, block_sizes
from moesaic.hls.compiler.frame_layout import FrameLayout
from moesaic.hls.compiler.padded_layers import image_bytes, stored_shape
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.shared_routers import add_router_blocks
from moesaic.hls.compiler.target import Member, Target
from moesaic.spec.bundle import Architecture, Bundle, Task, expected_tensors, pathways
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.joint_programs import ResultSet, image_count

_FAST = Schedule()


def weightless_target(
    architecture: Architecture,
    tasks: dict[str, Task],
    results: ResultSet,
    configuration: HardwareConfiguration,
    schedule: Schedule = _FAST,
) -> Target:
    """A program of a network whose tensors have the right shapes and dtypes but are zeros that take no memory.

    results: (pathway, number of the image) of each.
    """
    constants = Constants()
    for name, size in block_sizes(architecture, tasks, configuration):
        constants.add(name, size, lambda: np.empty(0, np.uint8))
    frame = FrameLayout()
    every = pathways(tasks)
    images = tuple(frame.allocate(image_bytes(architecture)) for _ in range(image_count(results)))
    members = tuple(
        Member(pathway, image, frame.allocate(2 * math.prod(stored_shape(architecture, every[pathway]))))
        for pathway, image in results
    )
    tensors = {
        name: _zeros(name, shape, dtype) for name, (shape, dtype) in expected_tensors(architecture, tasks).items()
    }
    bundle = Bundle("weightless", architecture, tasks, tensors, {})
    target = Target(bundle, configuration, constants, members, images, frame.end, schedule=schedule)
    add_router_blocks(target)
    return target


def _zeros(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    try:
        return np.broadcast_to(np.zeros((), dtype), shape)
    except ValueError:
        sizes = " x ".join(f"{size:,}" for size in shape)
        raise UserError(
            f"tensor {name} would have {sizes} elements, more than any memory holds: choose smaller sizes"
        ) from None
