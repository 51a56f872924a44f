"""A recipe for a source without one: its sizes are those of the weights, its tasks those that the source can serve."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from moesaic.errors import UserError
from moesaic.model.importing.backbone import count_prefix_tokens
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.recipes.recipe import (
    DataConfiguration,
    ModelConfiguration,
    Recipe,
    TaskConfiguration,
    TrainingConfiguration,
)
from moesaic.spec.heads import FEATURES
from moesaic.spec.input_description import InputDescription

_BLOCK = re.compile(r"blocks\.(\d+)\.")
RECIPE_DATA = DataConfiguration("imagefolder")
"""The data of such a recipe."""
_TRAINING = TrainingConfiguration(steps=1000, batch=8, learning_rate=1e-4, warmup=50, optimizer="adamw")


def recipe_of_source(
    source: ForeignCheckpoint,
    heads: int,
    tasks: Collection[TaskConfiguration],
    described: InputDescription,
    size: tuple[int, int] | None,
    grid: tuple[int, int] | None,
) -> Recipe:
    """The recipe of a dense network with a source's sizes, on images in folders (`moesaic.model.data.image_folder`).

    It has the blocks that a task runs. source: with timm's names. heads: its attention heads. tasks: at least one. described: its
    input. size: of the image, height and width; by default the one that the source's positions are for, in a square unless `grid`
    gives rows and columns. UserError if a weight that tells a size is missing.
    """
    width, _, patch, _ = _shape(source, "patch_embed.proj.weight", 4)
    last = [count_blocks(source) - 1 if task.last_block is None else task.last_block for task in tasks]
    prefix = count_prefix_tokens(source)
    rows, columns = grid or (_side(source, prefix),) * 2
    height, width_of_image = size or (rows * patch, columns * patch)
    model = ModelConfiguration(
        image_height=height,
        image_width=width_of_image,
        patch=patch,
        width=width,
        depth=max(last) + 1,
        heads=heads,
        mlp_hidden=_shape(source, "blocks.0.mlp.fc1.weight", 2)[0],
        experts=0,
        top_k=0,
        expert_hidden=0,
        tasks=tuple(tasks),
        prefix_tokens=prefix,
        norm_epsilon=source.settings.get("layer_norm_eps", 1e-6),
        input=described,
    )
    return Recipe(model, _TRAINING, RECIPE_DATA)


def count_blocks(source: ForeignCheckpoint) -> int:
    """The number of a source's transformer blocks."""
    return 1 + max((int(match[1]) for name in source.tensors if (match := _BLOCK.match(name))), default=-1)


def drop_blocks(source: ForeignCheckpoint, depth: int) -> int:
    """Remove the weights of blocks from `depth` on; returns how many blocks that are."""
    surplus = range(depth, count_blocks(source))
    source.drop(*(f"blocks.{i}." for i in surplus))
    return len(surplus)


def feature_tasks(source: ForeignCheckpoint, blocks: Collection[int | None]) -> tuple[TaskConfiguration, ...]:
    """Features of each block, called features_N, or of the last one, called features, for None. UserError if there is no such block."""
    last = count_blocks(source) - 1
    for n in blocks:
        if n is not None and n > last:
            raise UserError(f"{source.path}: features of block {n} are asked for, the source has blocks 0 to {last}")
    return tuple(
        TaskConfiguration(FEATURES if n is None else f"{FEATURES}_{n}", kind=FEATURES, last_block=n) for n in blocks
    )


def _shape(source: ForeignCheckpoint, name: str, dimensions: int) -> tuple[int, ...]:
    found = source.tensors.get(name)
    if found is None or found.ndim != dimensions:
        raise UserError(f"{source.path}: weight {name} does not tell the network's sizes: state them in a --recipe")
    return tuple(found.shape)


def _side(source: ForeignCheckpoint, prefix: int) -> int:
    """The side of the square grid of patches that the positions are for, whichever of the prefix tokens have one."""
    positions = _shape(source, "pos_embed", 3)[1]
    for own in dict.fromkeys((prefix, min(prefix, 1), 0)):
        side = math.isqrt(max(positions - own, 0))
        if side and side * side == positions - own:
            return side
    raise UserError(f"{source.path}: {positions} positions are no square of patches: state the source's with --grid")
