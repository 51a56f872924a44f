"""Ranges of activations that a quantised graph states, and the scales that follow from them.

Our norms' results and values take the graph's integers as they are: n stands for the same value, whether the graph's are signed or
not. So do keys, but for a whole number per channel, which moves the channel's usual range to 0: scores of keys with a large bias would
not fit 16 bits, and what is added to all keys alike, the softmax cancels. Queries take the larger side of the graph's range, hidden
units and GELU's index what GELU leaves of it; attention has the value's unit divided by a power of two. The residual stream has 16
bits, and its largest magnitude gets a headroom, since 8-bit graphs clip at it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from moesaic.model.importing.onnx_graphs.values import Stored, Value
from moesaic.model.importing.onnx_graphs.vit_structure import VisionTransformer
from moesaic.model.quantisation.scale_search import (
    GELU_LOWEST,
    OUTPUT_HEADROOM,
    hidden_scale,
    index_scale,
    largest_attention_shift,
)
from moesaic.model.quantisation.scales import INT16_MAX, ActivationScale, BlockScales, Scales
from moesaic.spec.heads import SHARED_NORM

_SAME = 1e-4  # relative difference between tensors that are the same but for an exporter's rounding
_INT8_MAX, _INT8_LEVELS = 127, 256
_POINTS = ("norm1", "query", "key", "value", "attention", "norm2", "up", "hidden")


@dataclass(frozen=True)
class FileRange:
    """An activation's integers, low to high: n stands for (n - zero) * step, float64 [channels] each."""

    step: np.ndarray
    zero: np.ndarray
    low: int
    high: int

    @property
    def magnitude(self) -> float:
        """The largest magnitude that the integers stand for."""
        return float(np.maximum((self.zero - self.low) * self.step, (self.high - self.zero) * self.step).max())

    @property
    def least(self) -> float:
        """The least value that the integers stand for."""
        return float(((self.low - self.zero) * self.step).min())

    @property
    def greatest(self) -> float:
        """The greatest value that the integers stand for."""
        return float(((self.high - self.zero) * self.step).max())


def points_of(depth: int) -> list[str]:
    """Every activation that a graph may state a range of, for a number of blocks."""
    return [*(f"blocks.{i}.{point}" for i in range(depth) for point in _POINTS), "norm", "stream"]


def file_ranges(found: VisionTransformer) -> dict[str, FileRange]:
    """The ranges that a quantised graph states, by blocks.I.POINT, norm and stream; empty for a graph in floating point."""
    per_token = found.norm.source.of is found.streams[-1]
    ranges: dict[str, FileRange | None] = {"norm": _range_of(found.norm) if per_token else None}
    for i, block in enumerate(found.blocks):
        tensors: tuple[Value, ...] = (
            *(
                block.norm1,
                block.query.value,
                block.key.value,
                block.value.value,
                _plain(block.projection.value.source.read),
            ),
            *(block.norm2, block.up.value, _plain(block.down.value.source.read)),
        )
        ranges |= {f"blocks.{i}.{point}": _range_of(tensor) for point, tensor in zip(_POINTS, tensors)}
    streams = [stored for stream in found.streams for stored in stream.stored]
    if streams:
        ranges["stream"] = max((FileRange(s.step, s.zero, s.low, s.high) for s in streams), key=lambda r: r.magnitude)
    return {name: value for name, value in ranges.items() if value is not None}


def _plain(tensor: Value) -> Value:
    """The tensor without the scale and offset of its channels, which are part of its reader's weights."""
    return Value(tensor.source, tensor.index, np.ones_like(tensor.scale), np.zeros_like(tensor.offset))


def _range_of(tensor: Value) -> FileRange | None:
    """The range of a tensor, as the graph stores it last; None if it stores nothing that is a multiple of it."""
    channels = np.unique(tensor.columns)
    for stored in reversed(tensor.source.stored):
        factor = _factor(tensor, stored, channels)
        if factor is not None:
            return FileRange(stored.step[channels] * factor, stored.zero[channels], stored.low, stored.high)
    return None


def _factor(tensor: Value, stored: Stored, channels: np.ndarray) -> float | None:
    """The positive number that makes the tensor of what is stored; None if there is none."""
    scale, step = stored.scale[channels], stored.step[channels]
    if np.isnan(step).any() or (scale == 0).any():
        return None
    factors = tensor.scale[channels] / scale
    factor = float(np.median(factors))
    shift = tensor.offset[channels] - factor * stored.offset[channels]
    same = np.abs(factors - factor).max() <= _SAME * abs(factor) and (np.abs(shift) <= _SAME * factor * step).all()
    return factor if factor > 0 and same else None


def with_file_ranges(scales: Scales, ranges: dict[str, FileRange]) -> Scales:
    """The scales with those that follow from a graph's ranges, see `file_ranges`; the others are kept."""
    stream, norm = ranges.get("stream"), ranges.get("norm")
    return dataclasses.replace(
        scales,
        stream=OUTPUT_HEADROOM * stream.magnitude / INT16_MAX if stream else scales.stream,
        final_norms={
            name: _activation(norm, scale) if norm and name == SHARED_NORM else scale
            for name, scale in scales.final_norms.items()
        },
        blocks=tuple(_block(block, ranges, f"blocks.{i}") for i, block in enumerate(scales.blocks)),
    )


def _activation(found: FileRange, calibrated: ActivationScale) -> ActivationScale:
    """Scale and offset of int8 for a range, the same integers if it has 256 of them; the usual value is the calibrated one."""
    levels = found.high - found.low + 1
    step = found.step * (levels - 1) / (_INT8_LEVELS - 1)
    offset = (found.low - found.zero) * found.step + _INT8_LEVELS // 2 * step
    return ActivationScale(step, offset, calibrated.centre)


def _key(found: FileRange, calibrated: ActivationScale) -> ActivationScale:
    """The unit of keys in a graph, one for all channels, so that products with queries have one; offsets are multiples of it."""
    step = float(found.step.max()) * (found.high - found.low) / (_INT8_LEVELS - 1)
    width = np.size(calibrated.scale)
    return ActivationScale(np.full(width, step), step * np.round(np.broadcast_to(calibrated.offset, width) / step))


def _block(scales: BlockScales, ranges: dict[str, FileRange], name: str) -> BlockScales:
    found = {point: ranges[f"{name}.{point}"] for point in _POINTS if f"{name}.{point}" in ranges}
    changes: dict = {
        point: _activation(found[point], getattr(scales, point))
        for point in ("norm1", "value", "norm2")
        if point in found
    }
    if "query" in found and "key" in found:
        changes["query"] = np.full(len(scales.query), found["query"].magnitude / _INT8_MAX)
        changes["key"] = _key(found["key"], scales.key)
    if "hidden" in found or "up" in found:
        changes["unit_factors"] = np.ones_like(scales.unit_factors)
    if "hidden" in found:
        changes["hidden"] = hidden_scale(found["hidden"].greatest)
    if "up" in found:
        changes["gelu_index"] = index_scale(max(found["up"].least, GELU_LOWEST[-1]), found["up"].greatest)
    if "attention" in found:
        value, attention = changes.get("value", scales.value), found["attention"]
        needed = max(attention.greatest - value.offset.min(), value.offset.max() - attention.least) / _INT8_MAX
        changes["attention_shift"] = largest_attention_shift(value.scale, needed)
    return dataclasses.replace(scales, **changes)
