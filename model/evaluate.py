"""Predictions and metrics, of the float network and of the integer network on the same scenes."""

import numpy as np
import torch

from model.configuration import ModelConfiguration
from model.data.scenes import Scenes
from model.network.vit import M3ViT
from model.pathways.usage import chosen_experts
from model.quantisation.integer import IntegerNetwork
from model.tasks.definitions import find_task
from model.training.sources import normalise
from spec.arithmetic import route_token
from spec.pathway_names import pathway_name

_BATCH = 32


def predict(model: M3ViT, images: np.ndarray, task: str) -> np.ndarray:
    """The float network's prediction [N, C, h, w], float32, for images uint8 [N, h, w, 3]."""
    with torch.inference_mode():
        parts = [model(normalise(images[i : i + _BATCH]), task).numpy() for i in range(0, len(images), _BATCH)]
    return np.concatenate(parts)


def measure(configuration: ModelConfiguration, task: str, prediction: np.ndarray, scenes: Scenes) -> float:
    """The task's metric for predictions [N, C, h, w] of these scenes."""
    definition = find_task(task, configuration.task(task).channels)
    return definition.measure(prediction, definition.target(scenes, *prediction.shape[-2:]))


def measure_float(model: M3ViT, scenes: Scenes) -> dict[str, float]:
    """Every task's metric for the float network."""
    return {
        task: measure(model.configuration, task, predict(model, scenes.images, task), scenes)
        for task in model.configuration.task_names
    }


def measure_integer(
    network: IntegerNetwork, configuration: ModelConfiguration, scenes: Scenes, alternative: str | None = None
) -> dict[str, float]:
    """Every task's metric for the integer network, on the tasks' default pathways or on an alternative that all have."""
    return {
        task: measure(configuration, task, network.predict(scenes.images, pathway_name(task, alternative)), scenes)
        for task in configuration.task_names
    }


def top_k_agreement(model: M3ViT, network: IntegerNetwork, images: np.ndarray) -> float:
    """The share, 0..1, of the float routers' choices that the integer routers make too.

    Over all images, tasks, MoE blocks, tokens and chosen experts. Each network routes its own activations, so that
    earlier disagreements count as they would in use. 1 for a model without experts.
    """
    agreed = total = 0
    for task in model.configuration.task_names:
        for first in range(0, len(images), _BATCH):
            batch, record = images[first : first + _BATCH], {}
            network.run(batch, task, record)
            for i, chosen in chosen_experts(model, batch, task).items():
                logits = record[f"blocks.{i}.router"]
                kept = network.tasks[task].pathway[i]
                selected, _ = route_token(logits.reshape(-1, len(kept)), network.tasks[task].top_k)
                agreed += int((chosen[:, list(kept)] & selected).sum())
                total += int(selected.sum())
    return agreed / total if total else 1.0
