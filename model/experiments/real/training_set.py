"""What the multi-task network is trained on: photographs with a teacher's saliency, and textured scenes with exact ground truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.model.data.scenes import GROUND, Scenes, render
from moesaic.model.experiments.real.photographs import random_crops
from moesaic.model.experiments.real.textured_scenes import textured
from moesaic.model.finetuning.last_blocks import TrainingGroup, WeighedLoss
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.model.tasks.registry import find_task

CLASSES = ("background", "ground", "object")
"""Of the segmentation: every shape of the rendered scenes is an object."""
_OBJECT = 2
_SCENE_SEED, _TEXTURE_SEED, _CROP_SEED = 11, 12, 13
_CHUNK = 16  # scenes rendered at once

Maps = Callable[[np.ndarray], np.ndarray]
"""A saliency teacher: from images uint8 [N, h, w, 3] to maps, float32 [N, h, w] in 0..1."""


@dataclass(frozen=True)
class Pictures:
    """Crops of photographs, then scenes. images: uint8 [N, h, w, 3]. scenes: ground truth of the last of them."""

    images: np.ndarray
    scenes: Scenes

    @property
    def photographs(self) -> int:
        """How many of the images are crops of photographs."""
        return len(self.images) - len(self.scenes)


def draw_pictures(photographs: list[np.ndarray], crops: int, scenes: int, height: int, width: int) -> Pictures:
    """`crops` random parts of photographs uint8 [h, w, 3] and `scenes` rendered scenes with their textures; always the same ones."""
    parts = [
        textured(
            render(min(_CHUNK, scenes - first), height, width, _SCENE_SEED, first), photographs, _TEXTURE_SEED, first
        )
        for first in range(0, scenes, _CHUNK)
    ]
    rendered = Scenes.joined(parts)
    cut = random_crops(photographs, crops, height, width, _CROP_SEED)
    return Pictures(np.concatenate([cut, rendered.images]), rendered)


def soft_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of logits [B, 1, h, w] against a teacher's probabilities [B, h, w]."""
    return F.binary_cross_entropy_with_logits(prediction[:, 0], target)


def training_groups(
    pictures: Pictures, tokens: np.ndarray, saliency: np.ndarray, model: ModelConfiguration
) -> tuple[TrainingGroup, TrainingGroup]:
    """Photographs, for saliency alone, and scenes, for all tasks; targets have the heads' resolution.

    tokens: float16 [N, T, D] of all pictures. saliency: the teacher's on all pictures, float32 [N, h, w].
    """
    rows, columns = (side * model.resolution // model.patch for side in (model.image_height, model.image_width))
    shrunk = F.interpolate(torch.from_numpy(saliency)[:, None], size=(rows, columns), mode="area")[:, 0].numpy()
    scenes, first = pictures.scenes, pictures.photographs
    objects = np.where(scenes.segmentation > GROUND, np.uint8(_OBJECT), scenes.segmentation)
    losses = {"saliency": WeighedLoss(soft_cross_entropy, 1.0, shrunk[first:])}
    for name, truth in (("depth", scenes.depth), ("normals", scenes.normals), ("segmentation", objects)):
        loss = find_task(name, model.task(name).channels).loss
        losses[name] = WeighedLoss(loss, 1.0, _nearest(truth, rows, columns))
    photographs = {"saliency": WeighedLoss(soft_cross_entropy, 1.0, shrunk[:first])}
    return TrainingGroup(tokens[:first], photographs), TrainingGroup(tokens[first:], losses)


def _nearest(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Values [N, h, w, ...] at the pixels that hold the centres of a coarser grid, [N, rows, columns, ...]."""
    y = ((np.arange(rows) + 0.5) * values.shape[1] / rows).astype(np.int64)
    x = ((np.arange(columns) + 0.5) * values.shape[2] / columns).astype(np.int64)
    return values[:, y[:, None], x]
