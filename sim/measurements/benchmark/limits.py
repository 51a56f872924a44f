"""The minimum cost of a frame on a machine, from its multiply-accumulates and the bytes of its weights.

Only the encoder counts, not the task's head, so that the figures can be compared with published ones.
"""

from __future__ import annotations

from moesaic.spec.bundle import Architecture, Task, expected_tensors
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.cost import head_macs, run_macs
from moesaic.spec.joint_programs import ResultSet


def encoder_macs(architecture: Architecture, tasks: dict[str, Task], results: ResultSet) -> int:
    """Multiply-accumulates of the encoder for a run, with top_k experts per token and without padding."""
    return run_macs(architecture, tasks, results) - sum(head_macs(architecture, tasks[name]) for name, _ in results)


def encoder_weight_bytes(architecture: Architecture, tasks: dict[str, Task], results: ResultSet) -> int:
    """Bytes of the encoder's weights that a run needs, with all experts of its pathways but without biases, tables and padding."""
    total = 0
    for name, (shape, _) in expected_tensors(architecture, {task: tasks[task] for task, _ in results}).items():
        path = name.split(".")
        if path[-1] != "weight" or path[0] == "heads":
            continue
        size = shape[0] * shape[1] * architecture.weight_bits(name) // 8
        total += size * 3 // 4 if path[0] == "patch_embed" else size  # the fourth byte of a pixel is always 0
    return total


def cycle_limit(macs: int, weight_bytes: int, configuration: HardwareConfiguration, bytes_per_cycle: float) -> float:
    """The cycles that no schedule can beat: every multiplier busy in every cycle, or every weight read once, whichever takes longer.

    bytes_per_cycle: DRAM rate of all ports together.
    """
    return max(macs / configuration.macs_per_cycle, weight_bytes / bytes_per_cycle)
