"""What kinds of output a task can have, which tokens its head reads, and what the head's integers amount to."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

CLASSIFICATION, FEATURES = "classification", "features"
DENSE_KINDS = ("segmentation", "parts", "saliency", "edges", "depth", "normals")
"""Kinds with an output for every pixel, or for every few pixels, whose decoding goes without saying."""
KINDS = (*DENSE_KINDS, CLASSIFICATION, FEATURES)
"""Every kind that is known here. A task of any other kind is dense, and its output says how it is decoded."""

CLASS, MEAN, DISTILLATION = "class", "mean", "distillation"
CLASS_AND_MEAN, CLASS_AND_DISTILLATION = f"{CLASS}+{MEAN}", f"{CLASS}+{DISTILLATION}"
MEAN_BEFORE_NORM = "mean_before_norm"
POOLINGS = {CLASS: 1, MEAN: 0, CLASS_AND_MEAN: 1, CLASS_AND_DISTILLATION: 2, MEAN_BEFORE_NORM: 0}
"""How a classification gets from tokens to one vector of logits, and how many prefix tokens that needs at least.

"class": a linear layer on the class token (ViT, DeiT). "mean": one on the mean of the patch tokens. "class+mean": the sum of one on
the class token and one on the mean of the patch tokens (DINOv2). "class+distillation": the mean of one on the class token and one on
the distillation token (distilled DeiT). "mean_before_norm": one on a layer norm of the mean of the patch tokens, which are not
normalised themselves (timm's `fc_norm`).
"""
ROWS_LEAST = {CLASS: 1, MEAN: 1, CLASS_AND_MEAN: 2, CLASS_AND_DISTILLATION: 2, MEAN_BEFORE_NORM: 1}
"""How many rows a head with this pooling gives at least."""
SHARED_NORM = "norm"
"""The final layer norm in front of all heads but those with one of their own, see `final_norm`."""


class Sizes(Protocol):
    """What a head needs to know of a network, see moesaic.spec.bundle.Architecture."""

    @property
    def prefix_tokens(self) -> int: ...
    @property
    def patches(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def moe_blocks(self) -> tuple[int, ...]: ...


class Kind(Protocol):
    """What a head needs to know of its task, see moesaic.spec.bundle.Task."""

    @property
    def kind(self) -> str: ...
    @property
    def pooling(self) -> str: ...
    @property
    def last_block(self) -> int | None: ...


def is_dense(kind: str) -> bool:
    """Whether tasks of this kind have an output for every pixel, or for every few pixels."""
    return kind not in (CLASSIFICATION, FEATURES)


class HeadLayer(NamedTuple):
    """A linear layer of a head. name: in the bundle. It reads tokens [first, first + count), or the one row that `pools_first` makes."""

    name: str
    first: int
    count: int


def head_layers(architecture: Sizes, name: str, task: Kind) -> tuple[HeadLayer, ...]:
    """The linear layers of the head of the task called `name`; an output other than a dense one has their rows one after another.

    A mean of tokens needs no layer of its own: a linear layer of a mean is the mean of the linear layer, so the machine computes the
    layer of every token, and `logits` adds up.
    """
    a, path = architecture, f"heads.{name}"
    patches = (a.prefix_tokens, a.patches)
    if task.kind == FEATURES:
        return (HeadLayer(path, 0, a.tokens),)
    if task.kind != CLASSIFICATION:
        return (HeadLayer(path, *patches),)
    rows = {CLASS: (0, 1), MEAN: patches, DISTILLATION: (1, 1), MEAN_BEFORE_NORM: (0, 1)}
    return tuple(HeadLayer(f"{path}.{part}", *rows[part]) for part in task.pooling.split("+"))


def head_task(layer: str) -> str:
    """The task to which a layer or norm of a head, heads.TASK or heads.TASK.PART, belongs."""
    return layer.split(".")[1]


def pools_first(task: Kind) -> bool:
    """Whether a task's final layer norm takes the mean of the patch tokens, one row, instead of tokens."""
    return task.pooling == MEAN_BEFORE_NORM


def pool(name: str) -> str:
    """The mean that the final layer norm of the task called `name` takes, in a bundle; see `moesaic.spec.arithmetic.mean_of_rows`."""
    return f"heads.{name}.pool"


def final_norm(name: str, task: Kind) -> str:
    """The layer norm in front of the head of the task called `name`.

    Features have their own, and so has a classification that normalises the mean of the tokens; all other heads share one.
    """
    return f"heads.{name}.norm" if task.kind == FEATURES or pools_first(task) else SHARED_NORM


def head_tokens(architecture: Sizes, name: str, task: Kind) -> list[int]:
    """The tokens that the final layer norm of a task takes, in order: all for a dense head, otherwise those that the head reads.

    A task that `pools_first` has the patches, whose mean it takes.
    """
    if is_dense(task.kind):
        return list(range(architecture.tokens))
    if pools_first(task):
        return list(range(architecture.prefix_tokens, architecture.tokens))
    layers = head_layers(architecture, name, task)
    return [token for layer in layers for token in range(layer.first, layer.first + layer.count)]


def task_problem(architecture: Sizes, task: Kind, channels: int) -> str:
    """What is wrong with the fields of a task that belong to particular kinds; empty if nothing is. channels: of its output."""
    a, kind, pooling, last_block = architecture, task.kind, task.pooling, task.last_block
    if kind == CLASSIFICATION:
        if pooling not in POOLINGS:
            return f"pooling {pooling!r} is none of {', '.join(POOLINGS)}"
        if a.prefix_tokens < POOLINGS[pooling]:
            return f"pooling {pooling!r} needs {POOLINGS[pooling]} prefix tokens, the network has {a.prefix_tokens}"
    elif pooling:
        return f"pooling {pooling!r} is for a classification, its kind is {kind}"
    if kind == FEATURES:
        if channels != a.width:
            return f"it has {channels} channels, features have the network's width, {a.width}"
        if last_block is not None and (type(last_block) is not int or not 0 <= last_block < a.depth):
            return f"last_block is {last_block!r}, not an integer from 0 to {a.depth - 1}"
    elif last_block is not None:
        return f"last_block {last_block!r} is for features, its kind is {kind}"
    return ""


def blocks_run(architecture: Sizes, task: Kind) -> int:
    """How many transformer blocks a task runs through."""
    return architecture.depth if task.last_block is None else task.last_block + 1


def moe_blocks_run(architecture: Sizes, task: Kind) -> tuple[int, ...]:
    """Those of them that have experts, ascending."""
    return tuple(i for i in architecture.moe_blocks if i < blocks_run(architecture, task))


def logits(raw: np.ndarray, pooling: str) -> np.ndarray:
    """A classification's logits, float64 [..., classes], in units of raw.

    raw: integers, or real numbers, [..., rows, classes], with the rows of `head_layers`. The sum over integer rows is exact.
    pooling: a key of POOLINGS.
    """
    rows = raw.astype(np.int64 if raw.dtype.kind in "iu" else np.float64)
    if pooling != CLASS_AND_MEAN:
        return rows.sum(-2) / rows.shape[-2]
    patches = rows[..., 1:, :]
    return rows[..., 0, :] + patches.sum(-2) / patches.shape[-2]
