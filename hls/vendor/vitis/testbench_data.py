"""Golden vectors for the C test bench: the contents of DRAM before a run, and what they must be after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.spec.build import Build
from moesaic.spec.executor import Counters, Memory, Program
from moesaic.spec.machine import ReferenceMachine


@dataclass(frozen=True)
class GoldenRun:
    """One run of a program on the reference machine.

    before, after: the frame window before and after the run, uint8 (frame_bytes,).
    counters: those of the reference machine.
    """

    task: str
    program: Program
    before: np.ndarray
    after: np.ndarray
    counters: Counters


def random_picture(build: Build, seed: int) -> np.ndarray:
    """A picture of gradients and noise with black and white corners, uint8 (height, width, 3), in the build's image size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : build.image_height, 0 : build.image_width]
    smooth = np.stack([x + y, 2 * x, 3 * y], axis=-1) % 256
    image = np.clip(smooth + rng.integers(-40, 41, smooth.shape), 0, 255).astype(np.uint8)
    image[:4, :4], image[-4:, -4:] = 0, 255
    return image


def golden_run(build: Build, task: str, image: np.ndarray) -> GoldenRun:
    """Run one task (or TASK@ALTERNATIVE) of a build on the reference machine, which defines the correct result.

    image: uint8 (height, width, 3), in the build's image size.

    Raises UserError for an unknown task.
    """
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    after = Memory(memory.constants, memory.frame.copy())
    program = build.task(task).program
    counters = ReferenceMachine(build.configuration).run(program, after, 0)
    return GoldenRun(task, program, memory.frame, after.frame, counters)
