"""The linear layers, image and outputs of a network as the machine stores them: padded for a configuration."""

from __future__ import annotations

from moesaic.hls.compiler.arena import round_up
from moesaic.hls.compiler.weight_layout import Linear
from moesaic.spec.bundle import Architecture, Bundle, Task, expected_tensors, output_shape
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.heads import head_task

PIXEL_BYTES = 4
"""Bytes of a pixel in DRAM: red, green, blue and a zero."""
_PIXELS_PER_BEAT = 4  # every transfer consists of 16-byte beats


def linear(bundle: Bundle, name: str) -> Linear:
    """A linear layer as the bundle stores it, without padding."""
    return Linear(*(bundle.tensors[f"{name}.{part}"] for part in ("weight", "bias", "multiplier", "shift")))


def head_pitch(architecture: Architecture, configuration: HardwareConfiguration) -> int:
    """Columns that one attention head occupies: its dimension rounded up to whole column tiles."""
    return round_up(architecture.width // architecture.heads, configuration.tile_columns)


def patch_pitch(architecture: Architecture) -> int:
    """Pixels that one line of a patch occupies: the patch's edge rounded up to whole beats of 16 bytes."""
    return round_up(architecture.patch, _PIXELS_PER_BEAT)


def patch_bytes(architecture: Architecture) -> int:
    """Bytes of a patch as the machine loads it, with padded lines."""
    return architecture.patch * patch_pitch(architecture) * PIXEL_BYTES


def image_bytes(architecture: Architecture) -> int:
    """Bytes of the image as the machine loads it."""
    return architecture.grid[0] * architecture.grid[1] * patch_bytes(architecture)


def stored_channels(task: Task) -> int:
    """Channels of a task's output as stored: rounded up so that a row of `upscale` pixels fills whole beats of 16 bytes."""
    channels = task.channels
    while 2 * task.upscale * channels % 16:
        channels += 1
    return channels


def stored_shape(architecture: Architecture, task: Task) -> tuple[int, int, int]:
    """(rows, columns, stored channels) of a task's output, int16."""
    rows, columns, _ = output_shape(architecture, task)
    return rows, columns, stored_channels(task)


def linear_shapes(
    architecture: Architecture, tasks: dict[str, Task], configuration: HardwareConfiguration
) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of every linear layer, by name, as the machine stores it.

    Lines of patches, attention heads and output channels are padded.
    """
    padded = architecture.heads * head_pitch(architecture, configuration)
    shapes = {}
    for name, (shape, _) in expected_tensors(architecture, tasks).items():
        if not name.endswith(".weight"):
            continue
        layer = name.removesuffix(".weight")
        part = layer.rsplit(".", 1)[-1]
        outputs, inputs = shape
        if layer == "patch_embed":
            inputs = patch_bytes(architecture)
        elif part in ("query", "key", "value"):
            outputs = padded
        elif part == "projection":
            inputs = padded
        elif layer.startswith("heads."):
            task = tasks[head_task(layer)]
            outputs = outputs // task.channels * stored_channels(task)
        shapes[layer] = (outputs, inputs)
    return shapes


def padded_linear(bundle: Bundle, configuration: HardwareConfiguration, name: str) -> Linear:
    """A linear layer of the bundle, padded to the shape that `linear_shapes` gives."""
    a = bundle.architecture
    head_dim, pitch = a.width // a.heads, head_pitch(a, configuration)
    layer = linear(bundle, name)
    part = name.rsplit(".", 1)[-1]
    if name == "patch_embed":
        return layer.with_input_groups(PIXEL_BYTES * a.patch, PIXEL_BYTES * patch_pitch(a))
    if part in ("query", "key", "value"):
        return layer.with_output_groups(head_dim, pitch)
    if part == "projection":
        return layer.with_input_groups(head_dim, pitch)
    if name.startswith("heads."):
        task = bundle.tasks[head_task(name)]
        return layer.with_output_groups(task.channels, stored_channels(task))
    return layer
