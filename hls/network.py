"""What the generator needs to know of a bundle: its linear layers padded for a configuration, and the size of the work."""

from __future__ import annotations

from hls.arena import round_up
from hls.weight_layout import Linear
from spec.bundle import Architecture, Bundle, Task
from spec.configuration import HardwareConfiguration


def linear(bundle: Bundle, name: str) -> Linear:
    """A linear layer of the bundle as it is stored there."""
    return Linear(*(bundle.tensors[f"{name}.{part}"] for part in ("weight", "bias", "multiplier", "shift")))


def head_pitch(architecture: Architecture, configuration: HardwareConfiguration) -> int:
    """Columns that one attention head occupies: its dimension rounded up to whole column tiles."""
    return round_up(architecture.width // architecture.heads, configuration.tile_columns)


def stored_channels(task: Task) -> int:
    """Channels of a task's output as stored: rounded up so that a row of upscale pixels is whole 16-byte beats."""
    channels = task.channels
    while 2 * task.upscale * channels % 16:
        channels += 1
    return channels


def lowered_linears(bundle: Bundle, configuration: HardwareConfiguration) -> dict[str, Linear]:
    """Every linear layer of the bundle, with attention heads and output channels padded as the machine stores them."""
    a = bundle.architecture
    head_dim, pitch = a.width // a.heads, head_pitch(a, configuration)
    names = sorted(name.removesuffix(".weight") for name in bundle.tensors if name.endswith(".weight"))
    result = {}
    for name in names:
        layer = linear(bundle, name)
        part = name.split(".")[-1]
        if part in ("query", "key", "value"):
            layer = layer.with_output_groups(head_dim, pitch)
        elif part == "projection":
            layer = layer.with_input_groups(head_dim, pitch)
        elif name.startswith("heads."):
            task = bundle.tasks[part]
            layer = layer.with_output_groups(task.channels, stored_channels(task))
        result[name] = layer
    return result


def frame_macs(architecture: Architecture, task: Task) -> int:
    """Multiply-accumulates of one frame of a task: what the network needs, without any padding of the machine."""
    a = architecture
    tokens, patches, width = a.tokens, a.tokens - 1, a.width
    macs = patches * a.patch * a.patch * 3 * width
    for i in range(a.depth):
        macs += 4 * tokens * width * width + 2 * tokens * tokens * width
        if i in a.moe_blocks:
            kept = len(task.pathway[i])
            macs += tokens * width * kept + min(task.top_k, kept) * tokens * 2 * width * a.expert_hidden
        else:
            macs += tokens * 2 * width * a.mlp_hidden
    return macs + patches * width * task.upscale * task.upscale * task.channels
