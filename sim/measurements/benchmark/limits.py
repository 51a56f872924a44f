"""The least that a frame can cost on a machine: by its multiply-accumulates and by the bytes of its weights.

Of the encoder, without the task's head, so that the figures compare with what others publish.
"""

from __future__ import annotations

from moesaic.spec.bundle import Architecture, Task, expected_tensors
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.cost import frame_macs


def encoder_macs(architecture: Architecture, task: Task) -> int:
    """Multiply-accumulates of the encoder on one frame, with top_k experts per token, without padding."""
    patches = architecture.patches
    head = patches * architecture.width * task.upscale * task.upscale * task.channels
    return frame_macs(architecture, task) - head


def encoder_weight_bytes(architecture: Architecture, task_name: str, task: Task) -> int:
    """Bytes of the encoder's int8 weights, with all experts of the task's pathway, without biases, tables and padding."""
    total = 0
    for name, (shape, _) in expected_tensors(architecture, {task_name: task}).items():
        path = name.split(".")
        if path[-1] != "weight" or path[0] == "heads":
            continue
        size = shape[0] * shape[1]
        total += size * 3 // 4 if path[0] == "patch_embed" else size  # the fourth byte of a pixel is always 0
    return total


def cycle_limit(macs: int, weight_bytes: int, configuration: HardwareConfiguration, bytes_per_cycle: float) -> float:
    """Cycles below which no schedule can get: every multiplier at work all the time, or every weight read once."""
    return max(macs / configuration.macs_per_cycle, weight_bytes / bytes_per_cycle)
