"""The layers that both accelerators compute, with their operands and what numpy makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.spec.arithmetic import requantise, saturate

SHIFT = 11
"""Both divide their sums by 2**SHIFT, which spreads the results over int8 and saturates some."""
_MULTIPLIER_BITS = 15
_SEED = 16


@dataclass(frozen=True)
class Layer:
    """A matrix product of int8, `rows` x `depth` with `depth` x `columns`, plus bias, divided by 2**SHIFT, to int8.

    picture, channels: of a convolution with a kernel of 3 x 3, a stride of 1 and a border of zeros, the height and width in pixels, and
    the channels that go in; rows = picture**2, depth = 9 * channels. Both are 0 for a plain product.
    """

    name: str
    rows: int
    depth: int
    columns: int
    picture: int = 0
    channels: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with the border's zeros among them."""
        return self.rows * self.depth * self.columns


def product(rows: int, depth: int, columns: int) -> Layer:
    """A plain matrix product."""
    return Layer(f"{rows}x{depth}x{columns}", rows, depth, columns)


def convolution(picture: int, channels: int, columns: int) -> Layer:
    """A convolution of `channels` to `columns` channels on a square picture."""
    name = f"conv3x3-{picture}x{picture}x{channels}-to-{columns}"
    return Layer(name, picture * picture, 9 * channels, columns, picture, channels)


LAYERS = (product(129, 384, 384), convolution(28, 64, 128))
"""The layers that are measured."""


def nngen_parallelism(layer: Layer) -> tuple[tuple[int, int], ...]:
    """(inputs, outputs) that NNgen is to take at once, some with about as many multipliers as `tiny` has: 9 of them for a convolution's."""
    return ((2, 2), (2, 4)) if layer.picture else ((2, 4), (4, 4), (8, 8))


@dataclass(frozen=True, eq=False)
class Operands:
    """The values of a layer.

    inputs: int8 (rows, depth), or (picture, picture, channels). weights: int8 (columns, depth), or (columns, 3, 3, channels). bias:
    int32 (columns,).
    """

    inputs: np.ndarray
    weights: np.ndarray
    bias: np.ndarray


def operands(layer: Layer) -> Operands:
    """Random values, the same at each call."""
    rng = np.random.default_rng([_SEED, layer.rows, layer.depth, layer.columns])
    shape = (layer.picture, layer.picture, layer.channels) if layer.picture else (layer.rows, layer.depth)
    kernel = (layer.columns, 3, 3, layer.channels) if layer.picture else (layer.columns, layer.depth)
    inputs, weights = (rng.integers(-128, 128, each).astype(np.int8) for each in (shape, kernel))
    return Operands(inputs, weights, rng.integers(-(1 << 14), 1 << 14, layer.columns).astype(np.int32))


def bordered(inputs: np.ndarray) -> np.ndarray:
    """A picture (height, width, channels) with a border of zeros, one pixel wide."""
    return np.pad(inputs, ((1, 1), (1, 1), (0, 0)))


def matrix(layer: Layer, inputs: np.ndarray) -> np.ndarray:
    """The left operand of the product, int8 (rows, depth): a convolution's rows hold the pixels under the kernel, line by line."""
    if not layer.picture:
        return inputs
    picture, side = bordered(inputs), layer.picture
    windows = [picture[y : y + side, x : x + side] for y in range(3) for x in range(3)]
    return np.stack(windows, axis=2).reshape(layer.rows, layer.depth)


def sums(layer: Layer, values: Operands) -> np.ndarray:
    """The sums with bias before the division, int64 (rows, columns)."""
    weights = values.weights.reshape(layer.columns, layer.depth)
    return matrix(layer, values.inputs).astype(np.int64) @ weights.T.astype(np.int64) + values.bias


def our_scale() -> tuple[int, int]:
    """(multiplier, shift) with which this machine divides by 2**SHIFT."""
    return 1 << _MULTIPLIER_BITS, SHIFT + _MULTIPLIER_BITS


def our_result(layer: Layer, values: Operands) -> np.ndarray:
    """int8 (rows, columns) as this machine rounds (`moesaic.spec.arithmetic.requantise`)."""
    multiplier, shift = our_scale()
    return saturate(requantise(sums(layer, values), np.array(multiplier), np.array(shift)), 8).astype(np.int8)


def nngen_result(layer: Layer, values: Operands) -> np.ndarray:
    """int8 (rows, columns) as NNgen 1.3.4 rounds: to the nearest, a half away from zero."""
    total = sums(layer, values)
    half = 1 << (SHIFT - 1)
    return saturate((total + np.where(total >= 0, half, half - 1)) >> SHIFT, 8).astype(np.int8)
