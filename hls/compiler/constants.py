"""The constant window of DRAM: weights, stored once for all tasks, then the programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from moesaic.hls.compiler.arena import round_up
from moesaic.hls.compiler.padded_layers import linear_shapes, padded_linear
from moesaic.hls.compiler.pool_constants import POOL_CONSTANTS
from moesaic.hls.compiler.weight_layout import (
    linear_bytes,
    norm_bytes,
    pack_linear,
    pack_norm,
    parameter_block,
    parameter_bytes,
)
from moesaic.spec.arithmetic import TABLE_ENTRIES
from moesaic.spec.bundle import Architecture, Bundle, Task
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.heads import final_norm, pool, pools_first

_ALIGNMENT = 64


class Constants:
    """Named blocks of bytes, each at a multiple of 64.

    offset, size: block name to bytes; sizes are rounded up to whole beats of 16 bytes.
    total: bytes of the window so far.
    """

    def __init__(self) -> None:
        self._contents: list[Callable[[], np.ndarray]] = []
        self.offset: dict[str, int] = {}
        self.size: dict[str, int] = {}
        self.total = 0

    def add(self, name: str, size: int, content: Callable[[], np.ndarray]) -> None:
        """Append a block of `size` bytes, padded with zeros to the alignment.

        content: returns its bytes, uint8, at most `size` of them; called when the image is made.
        """
        self.offset[name], self.size[name] = self.total, round_up(size, 16)
        self._contents.append(content)
        self.total += round_up(size, _ALIGNMENT)

    def image(self) -> np.ndarray:
        """The whole window, uint8 (total,)."""
        image = np.zeros(self.total, np.uint8)
        for start, content in zip(self.offset.values(), self._contents, strict=True):
            block = content()
            image[start : start + len(block)] = block
        return image


def block_sizes(
    architecture: Architecture, tasks: dict[str, Task], configuration: HardwareConfiguration
) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of every block of a network, in the order of the constant window.

    The blocks are position (int16, rows padded to words of the activation memory), one per layer norm and linear layer,
    BLOCK.scores (one parameter block), and BLOCK.mlp.table or BLOCK.experts.table. With a task that pools first, there are its
    heads.TASK.pool (one parameter block) and moesaic.hls.compiler.pool_constants.
    """
    a, c = architecture, configuration
    yield "position", a.tokens * round_up(2 * a.width, c.act_word_bytes)
    for name in norm_names(a.depth, tasks):
        yield name, norm_bytes(c, a.width)
    for i in range(a.depth):
        yield f"blocks.{i}.scores", parameter_bytes(c)
        yield table_name(a, i), TABLE_ENTRIES
    for name, (outputs, inputs) in linear_shapes(a, tasks, c).items():
        yield name, linear_bytes(c, outputs, inputs, a.weight_bits(name))
    if pooling := [name for name, task in tasks.items() if pools_first(task)]:
        yield from ((pool(name), parameter_bytes(c)) for name in pooling)
        yield from ((name, len(content(c, a))) for name, content in POOL_CONSTANTS.items())


def pack_network(bundle: Bundle, configuration: HardwareConfiguration) -> Constants:
    """The constant window with all weights of a bundle, still without programs."""
    constants = Constants()
    for name, size in block_sizes(bundle.architecture, bundle.tasks, configuration):
        constants.add(name, size, partial(_content, bundle, configuration, name))
    return constants


def _content(bundle: Bundle, configuration: HardwareConfiguration, name: str) -> np.ndarray:
    a, tensors = bundle.architecture, bundle.tensors
    if name in POOL_CONSTANTS:
        return POOL_CONSTANTS[name](configuration, a)
    if name == "position":
        position = np.zeros((a.tokens, round_up(2 * a.width, configuration.act_word_bytes)), np.uint8)
        position[:, : 2 * a.width] = tensors["position"].astype("<i2").view(np.uint8)
        return position.reshape(-1)
    if name.endswith(".table"):
        return tensors[name].view(np.uint8)
    if f"{name}.multiplier" in tensors and f"{name}.weight" not in tensors:
        ones = np.ones(configuration.tile_columns, np.int64)
        multiplier, shift = tensors[f"{name}.multiplier"], tensors[f"{name}.shift"]
        return parameter_block(configuration, 0 * ones, multiplier * ones, shift * ones)
    if f"{name}.gamma" in tensors:
        return pack_norm(configuration, tensors[f"{name}.gamma"], tensors[f"{name}.beta"])
    return pack_linear(configuration, padded_linear(bundle, configuration, name), a.weight_bits(name))


def table_name(architecture: Architecture, block: int) -> str:
    """Name of the GELU table of transformer block number `block`."""
    return f"blocks.{block}.{'experts' if block in architecture.moe_blocks else 'mlp'}.table"


def norm_names(depth: int, tasks: dict[str, Task]) -> list[str]:
    """Names of all layer norms of a network with `depth` transformer blocks, those in front of the heads last."""
    of_blocks = [f"blocks.{i}.norm{n}" for i in range(depth) for n in (1, 2)]
    return of_blocks + list(dict.fromkeys(final_norm(name, task) for name, task in tasks.items()))
