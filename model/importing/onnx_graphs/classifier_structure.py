"""A classifier behind a graph's final norm: which tokens it reads, and its linear layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.model.importing.onnx_graphs.values import (
    Joined,
    Linear,
    Normalised,
    Pooled,
    Refusal,
    Source,
    Stream,
    Summed,
    Value,
)
from moesaic.spec.heads import CLASS, CLASS_AND_DISTILLATION, CLASS_AND_MEAN, DISTILLATION, MEAN, MEAN_BEFORE_NORM


@dataclass(frozen=True)
class FoundClassifier:
    """pooling: a key of moesaic.spec.heads.POOLINGS. layers: of its parts, weight float64 [classes, channels] and bias [classes]."""

    pooling: str
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]


def read_classifier(logits: Value, stream: Stream, norm: Value[Normalised], prefix: int) -> FoundClassifier:
    """The classifier that gives `logits` behind the final norm. Refusal says what else the tensor is.

    stream: the last residual stream. norm: the final norm with its weight and bias. prefix: the number of prefix tokens.
    """
    source = logits.source
    if isinstance(source, Linear):
        weight, bias = _layer(logits)
        if isinstance(source.read.source, Joined):
            return _of_joined(source.read, weight, bias, stream, norm, prefix)
        pooling = _pooling(source.read, int(source.row_of[0]), stream, norm, prefix)
        if pooling == DISTILLATION:
            raise Refusal("its classifier reads the distillation token alone; expected the class token, or both")
        return FoundClassifier(pooling, ((weight, bias),))
    if isinstance(source, Summed):
        return _of_pair(logits, stream, norm, prefix)
    raise Refusal(f"{logits} of {source.rows} rows; expected a classifier's linear layer of the class token or a mean")


def _layer(logits: Value) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the linear layer of one row that gives the tensor."""
    layer: Linear = logits.source
    if layer.rows != 1 or logits.index.size != layer.channels:
        raise Refusal(f"a linear layer of {layer.rows} rows; expected one of the class token or of a mean of tokens")
    order = logits.columns.ravel()
    scale, offset = logits.scale[order], logits.offset[order]
    return layer.weight[order] * scale[:, None], layer.bias[order] * scale + offset


def _pooling(read: Value, row: int, stream: Stream, norm: Value[Normalised], prefix: int) -> str:
    """How the one row that a classifier's layer reads comes from the tokens."""
    source: Source = read.source
    if not (np.array_equal(read.scale, norm.scale) and np.array_equal(read.offset, norm.offset)):
        raise Refusal(
            "its classifier reads tokens with another weight or bias than the final norm's; expected the same"
        )
    if source is norm.source and source.rows > 1:
        if row == 0 and prefix:
            return CLASS
        if row == 1 and prefix > 1:
            return DISTILLATION
        raise Refusal(f"its classifier reads token {row}, behind {prefix} prefix tokens; expected the class token")
    if isinstance(source, Pooled) and source.of is norm.source:
        return _mean(source, MEAN, prefix)
    of = norm.source.of
    if source is norm.source and isinstance(of, Pooled) and of.of is stream:
        return _mean(of, MEAN_BEFORE_NORM, prefix)
    raise Refusal(f"its classifier reads {read}; expected a token behind the final norm, or a mean of tokens")


def _mean(pooled: Pooled, pooling: str, prefix: int) -> str:
    if pooled.first != prefix:
        raise Refusal(
            f"its classifier reads the mean of the tokens from {pooled.first} on; expected that of the patches, which begin at {prefix}"
        )
    return pooling


def _of_joined(
    read: Value, weight: np.ndarray, bias: np.ndarray, stream: Stream, norm: Value[Normalised], prefix: int
) -> FoundClassifier:
    """DINOv2's: a layer of the class token and the mean of the patches side by side."""
    joined: Joined = read.source
    if not read.is_plain or [part.source.rows for part in joined.parts[1:]] != [1]:
        raise Refusal(
            "its classifier reads several tensors side by side; expected the class token and the mean of the patches"
        )
    first, second = joined.parts
    found = [_pooling(part, int(part.rows.flat[0]), stream, norm, prefix) for part in (first, second)]
    if found != [CLASS, MEAN]:
        raise Refusal(
            f"its classifier reads {found[0]} and {found[1]} side by side; expected class token and mean of the patches"
        )
    width = first.index.size
    layers = ((weight[:, :width], bias), (weight[:, width:], np.zeros_like(bias)))
    return FoundClassifier(CLASS_AND_MEAN, layers)


def _of_pair(logits: Value, stream: Stream, norm: Value[Normalised], prefix: int) -> FoundClassifier:
    """Distilled DeiT's: the mean of a layer of the class token and one of the distillation token."""
    pair: Summed = logits.source
    layers, found = [], []
    for part in pair.parts:
        weight, bias = _layer(part)
        found.append(_pooling(part.source.read, int(part.source.row_of[0]), stream, norm, prefix))
        layers.append((2 * weight * logits.scale[:, None], 2 * bias * logits.scale + logits.offset))
    if sorted(found) != [CLASS, DISTILLATION]:
        raise Refusal(
            f"it adds layers of {found[0]} and {found[1]}; expected those of the class and distillation token"
        )
    if found[0] == DISTILLATION:
        layers.reverse()
    return FoundClassifier(CLASS_AND_DISTILLATION, tuple(layers))
