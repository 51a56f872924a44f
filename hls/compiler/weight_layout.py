"""Packs linear layers for the weight memory: for each column tile a parameter block and words of columns x depth.

A layer with weights of 8 bits has each tile's words behind its block, in DRAM as on chip, so that any tiles can be loaded in one run. One
of 4 bits has the blocks of all tiles first, then their words, two weights to a byte in DRAM, as `load` unpacks them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.hls.compiler.arena import round_up
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.int4 import pack_int4
from moesaic.spec.isa import PARAMETER_ENTRY


@dataclass(frozen=True)
class Linear:
    """A linear layer of the integer network, as defined in moesaic.spec.bundle.

    weight: int8 (outputs, inputs).
    bias: int32 (outputs,).
    multiplier: uint16 (outputs,).
    shift: uint8 (outputs,).
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray

    def with_output_groups(self, group: int, pitch: int) -> Linear:
        """The layer with its outputs in groups of `group`, each padded with zero outputs to `pitch`."""

        def pad(array: np.ndarray) -> np.ndarray:
            groups = array.reshape(-1, group, *array.shape[1:])
            widths = [(0, 0), (0, pitch - group), *[(0, 0)] * (array.ndim - 1)]
            return np.pad(groups, widths).reshape(-1, *array.shape[1:])

        return Linear(pad(self.weight), pad(self.bias), pad(self.multiplier), pad(self.shift))

    def with_outputs_at(self, places: np.ndarray, outputs: int) -> Linear:
        """The layer with `outputs` outputs, of which those at `places`, one for each of its own, are its own; the others are zero."""

        def put(array: np.ndarray) -> np.ndarray:
            wide = np.zeros((outputs, *array.shape[1:]), array.dtype)
            wide[places] = array
            return wide

        return Linear(put(self.weight), put(self.bias), put(self.multiplier), put(self.shift))

    def with_input_groups(self, group: int, pitch: int) -> Linear:
        """The layer with its inputs in groups of `group`, each padded with zero weights to `pitch`."""
        outputs = len(self.weight)
        groups = self.weight.reshape(outputs, -1, group)
        weight = np.pad(groups, ((0, 0), (0, 0), (0, pitch - group))).reshape(outputs, -1)
        return Linear(weight, self.bias, self.multiplier, self.shift)


def parameter_bytes(configuration: HardwareConfiguration) -> int:
    """Bytes of a parameter block: one entry for each column of a tile."""
    return PARAMETER_ENTRY.itemsize * configuration.tile_columns


def parameter_block(
    configuration: HardwareConfiguration, bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """One parameter block, uint8 (parameter_bytes,), for up to tile_columns channels; unused entries are 0.

    bias: int32 (channels,).
    multiplier: uint16 (channels,).
    shift: uint8 (channels,).

    Other integer dtypes are accepted if the values are in these ranges.
    """
    block = np.zeros(configuration.tile_columns, PARAMETER_ENTRY)
    count = len(bias)
    block["bias"][:count], block["multiplier"][:count], block["shift"][:count] = bias, multiplier, shift
    return block.view(np.uint8)


def linear_depth(configuration: HardwareConfiguration, inputs: int) -> int:
    """The depth field of a product over `inputs` elements: rounded up to a multiple of tile_depth."""
    return round_up(inputs, configuration.tile_depth)


def linear_tile_bytes(configuration: HardwareConfiguration, inputs: int) -> int:
    """Bytes on chip of one column tile including its parameter block."""
    return parameter_bytes(configuration) + _tile_weights(configuration, inputs)


def _tile_weights(configuration: HardwareConfiguration, inputs: int) -> int:
    return linear_depth(configuration, inputs) * configuration.tile_columns


def linear_tiles(configuration: HardwareConfiguration, outputs: int) -> int:
    """Column tiles of a linear layer."""
    return -(-outputs // configuration.tile_columns)


def linear_bytes(configuration: HardwareConfiguration, outputs: int, inputs: int, bits: int = 8) -> int:
    """Bytes in DRAM of a packed linear layer with weights of so many bits, 8 or 4; with 8, those on chip."""
    tile = parameter_bytes(configuration) + _tile_weights(configuration, inputs) * bits // 8
    return linear_tiles(configuration, outputs) * tile


def packed_from(configuration: HardwareConfiguration, outputs: int, bits: int) -> int | None:
    """Where the weights of a packed layer of 4 bits begin, in DRAM and on chip, in bytes; None with 8 bits."""
    return linear_tiles(configuration, outputs) * parameter_bytes(configuration) if bits == 4 else None


def linear_strides(configuration: HardwareConfiguration, outputs: int, inputs: int, bits: int) -> tuple[int, int, int]:
    """(offset of the first weights, b_stride, param_stride) of `outputs` columns on chip, in bytes."""
    tile = linear_tile_bytes(configuration, inputs)
    first = packed_from(configuration, outputs, bits)
    if first is None:
        return parameter_bytes(configuration), tile, tile
    return first, _tile_weights(configuration, inputs), parameter_bytes(configuration)


def pack_linear(configuration: HardwareConfiguration, linear: Linear, bits: int = 8) -> np.ndarray:
    """A linear layer packed as it lies in DRAM, uint8 (linear_bytes,).

    bits: of a weight, 8 or 4. UserError if a weight does not fit 4 bits.
    """
    columns, lanes = configuration.tile_columns, configuration.tile_depth
    outputs, inputs = linear.weight.shape
    depth, tiles = linear_depth(configuration, inputs), linear_tiles(configuration, outputs)
    weight = np.zeros((tiles * columns, depth), np.int8)
    weight[:outputs, :inputs] = linear.weight
    words = weight.reshape(tiles, columns, depth // lanes, lanes).transpose(0, 2, 1, 3).reshape(tiles, -1)
    blocks = []
    for j in range(tiles):
        chosen = slice(j * columns, min((j + 1) * columns, outputs))
        blocks.append(
            parameter_block(configuration, linear.bias[chosen], linear.multiplier[chosen], linear.shift[chosen])
        )
    if bits == 4:
        return np.concatenate([*blocks, *pack_int4(words)])
    return np.concatenate(
        [part for block, tile in zip(blocks, words, strict=True) for part in (block, tile.view(np.uint8))]
    )


def norm_bytes(configuration: HardwareConfiguration, width: int) -> int:
    """Bytes of the packed parameters of one layer norm."""
    return -(-width // configuration.tile_columns) * 4 * configuration.tile_columns


def pack_norm(configuration: HardwareConfiguration, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Layer-norm parameters packed for the activation memory, uint8 (norm_bytes,).

    For each group of tile_columns channels the block has all gammas, then all betas, int16.

    gamma, beta: int16 (width,).
    """
    columns = configuration.tile_columns
    groups = -(-len(gamma) // columns)
    block = np.zeros((groups, 2, columns), "<i2")
    for which, values in enumerate((gamma, beta)):
        padded = np.zeros(groups * columns, "<i2")
        padded[: len(values)] = values
        block[:, which] = padded.reshape(groups, columns)
    return block.reshape(-1).view(np.uint8)
