"""What kinds of output a task can have, which tokens its head reads, and what the head's integers amount to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from moesaic.spec.bundle import Architecture, Task

CLASSIFICATION, FEATURES = "classification", "features"
DENSE_KINDS = ("segmentation", "parts", "saliency", "edges", "depth", "normals")
"""Kinds with an output for every pixel, or for every few pixels."""
KINDS = (*DENSE_KINDS, CLASSIFICATION, FEATURES)

CLASS, MEAN, CLASS_AND_MEAN, CLASS_AND_DISTILLATION = "class", "mean", "class+mean", "class+distillation"
POOLINGS = {CLASS: 1, MEAN: 0, CLASS_AND_MEAN: 1, CLASS_AND_DISTILLATION: 2}
"""How a classification gets from tokens to one vector of logits, and how many prefix tokens that needs at least.

"class": a linear layer on the class token (ViT, DeiT). "mean": one on the mean of the patch tokens. "class+mean": the sum of one on
the class token and one on the mean of the patch tokens (DINOv2). "class+distillation": the mean of one on the class token and one on
the distillation token (distilled DeiT).
"""
ROWS_LEAST = {CLASS: 1, MEAN: 1, CLASS_AND_MEAN: 2, CLASS_AND_DISTILLATION: 2}
"""How many rows a head with this pooling gives at least."""


class HeadLayer(NamedTuple):
    """A linear layer of a head. name: in the bundle. It reads tokens [first, first + count)."""

    name: str
    first: int
    count: int


def head_layers(architecture: Architecture, name: str, task: Task) -> tuple[HeadLayer, ...]:
    """The linear layers of the head of the task called `name`; an output other than a dense one has their rows one after another.

    A mean of tokens needs no layer of its own: a linear layer of a mean is the mean of the linear layer, so the machine computes the
    layer of every token, and `logits` adds up.
    """
    a, path = architecture, f"heads.{name}"
    patches = (a.prefix_tokens, a.patches)
    if task.kind == FEATURES:
        return (HeadLayer(path, 0, a.tokens),)
    if task.pooling == CLASS:
        return (HeadLayer(path, 0, 1),)
    if task.pooling == CLASS_AND_MEAN:
        return HeadLayer(f"{path}.class", 0, 1), HeadLayer(f"{path}.mean", *patches)
    if task.pooling == CLASS_AND_DISTILLATION:
        return HeadLayer(f"{path}.class", 0, 1), HeadLayer(f"{path}.distillation", 1, 1)
    return (HeadLayer(path, *patches),)


def head_task(layer: str) -> str:
    """The task to which a layer or norm of a head, heads.TASK or heads.TASK.PART, belongs."""
    return layer.split(".")[1]


def final_norm(name: str, task: Task) -> str:
    """The layer norm in front of the head of the task called `name`: features have their own, all other heads share one."""
    return f"heads.{name}.norm" if task.kind == FEATURES else "norm"


def head_tokens(architecture: Architecture, name: str, task: Task) -> list[int]:
    """The tokens that the final layer norm of a task takes, in order: all for a dense head, otherwise those that the head reads."""
    if task.kind in DENSE_KINDS:
        return list(range(architecture.tokens))
    layers = head_layers(architecture, name, task)
    return [token for layer in layers for token in range(layer.first, layer.first + layer.count)]


def blocks_run(architecture: Architecture, task: Task) -> int:
    """How many transformer blocks a task runs through."""
    return architecture.depth if task.last_block is None else task.last_block + 1


def moe_blocks_run(architecture: Architecture, task: Task) -> tuple[int, ...]:
    """Those of them that have experts, ascending."""
    return tuple(i for i in architecture.moe_blocks if i < blocks_run(architecture, task))


def logits(raw: np.ndarray, pooling: str) -> np.ndarray:
    """A classification's logits, float64 [..., classes], in units of raw.

    raw: integers, or real numbers, [..., rows, classes], with the rows of `head_layers`. The sum over integer rows is exact.
    pooling: a key of POOLINGS.
    """
    rows = raw.astype(np.int64 if raw.dtype.kind in "iu" else np.float64)
    if pooling in (CLASS, MEAN, CLASS_AND_DISTILLATION):
        return rows.sum(-2) / rows.shape[-2]
    patches = rows[..., 1:, :]
    return rows[..., 0, :] + patches.sum(-2) / patches.shape[-2]
