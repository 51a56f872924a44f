"""What a frame of a task costs, counted from the network's sizes without any machine's padding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from moesaic.spec.bundle import Architecture, Task, expected_tensors, is_packed, output_shape
from moesaic.spec.heads import FEATURES, blocks_run, head_layers, moe_blocks_run
from moesaic.spec.joint_programs import ResultSet


def frame_macs(architecture: Architecture, task: Task) -> int:
    """Multiply-accumulates of one frame on a task's default pathway, with the head."""
    return joint_macs(architecture, [task])


def joint_macs(architecture: Architecture, tasks: Sequence[Task]) -> int:
    """Multiply-accumulates of the default pathways of several tasks on one image, with their heads.

    The network up to its first router, which they have in common, counts once.
    """
    a = architecture
    tokens, width = a.tokens, a.width
    first_router = min(a.moe_blocks, default=a.depth)
    macs = a.patches * a.patch * a.patch * 3 * width
    for i in range(max(blocks_run(a, task) for task in tasks)):
        running = [task for task in tasks if i < blocks_run(a, task)]
        attention = 4 * tokens * width * width + 2 * tokens * tokens * width
        macs += attention * (1 if i <= first_router else len(running))
        if i not in a.moe_blocks:
            macs += tokens * 2 * width * a.mlp_hidden * (1 if i < first_router else len(running))
            continue
        for task in running:
            kept = len(task.pathway[i])
            macs += tokens * width * kept + min(task.top_k, kept) * tokens * 2 * width * a.expert_hidden
    return macs + sum(head_macs(a, task) for task in tasks)


def run_macs(architecture: Architecture, tasks: Mapping[str, Task], results: ResultSet) -> int:
    """Multiply-accumulates of all results of a run, with what those of an image have in common counted once.

    tasks: pathways by name.
    """
    by_image: dict[int, list[Task]] = {}
    for name, image in results:
        by_image.setdefault(image, []).append(tasks[name])
    return sum(joint_macs(architecture, of_image) for of_image in by_image.values())


def head_macs(architecture: Architecture, task: Task) -> int:
    """Multiply-accumulates of a task's head; 0 for features, as the layer through which the machine stores them is not the network's."""
    if task.kind == FEATURES:
        return 0
    rows = sum(layer.count for layer in head_layers(architecture, "", task))
    return rows * architecture.width * task.upscale * task.upscale * task.channels


def weight_bytes(architecture: Architecture, task: Task) -> int:
    """Bytes of everything that a task's default pathway reads from a bundle: weights with their parameters, norms and tables.

    The sum of elements * bytes per element over the tensors of a bundle with this pathway alone
    (`moesaic.spec.bundle.expected_tensors`): every shared layer up to the last block that the task runs, the router's rows, the
    weights of the kept experts (4-bit ones two to a byte) and the head.
    """
    depth = blocks_run(architecture, task)
    architecture = replace(architecture, depth=depth, moe_blocks=moe_blocks_run(architecture, task))
    alone = replace(task, alternatives={}, last_block=None)
    return sum(
        _stored_bytes(architecture, name, shape, dtype)
        for name, (shape, dtype) in expected_tensors(architecture, {"task": alone}).items()
    )


def _stored_bytes(architecture: Architecture, name: str, shape: tuple[int, ...], dtype: str) -> int:
    if is_packed(architecture, name):
        rows, columns = shape
        return rows * -(-columns // 2)
    return math.prod(shape) * np.dtype(dtype).itemsize


def dram_bytes(architecture: Architecture, task: Task) -> int:
    """Bytes that one frame moves between DRAM and a machine that keeps activations on chip and reads each weight once.

    weight_bytes + 4 * height * width (image, 4 bytes per pixel) + 2 * elements of the output (int16). The program is not counted.
    An expert to which a frame sends no token need not be read, so this is an upper bound.
    """
    a = architecture
    return weight_bytes(a, task) + 4 * a.image_height * a.image_width + 2 * math.prod(output_shape(a, task))
