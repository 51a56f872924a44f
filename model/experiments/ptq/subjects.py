"""The networks that are quantised, each with its pictures and with what its predictions are judged by."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from moesaic.campaign.kept_results import content_key
from moesaic.files import sha256_of
from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.evaluate import evaluate, predict
from moesaic.model.experiments.ptq.plain_copy import plain_sizes
from moesaic.model.experiments.real.backbone_study import overlaps
from moesaic.model.experiments.real.fidelity import FEATURES_TASK
from moesaic.model.experiments.real.network import import_backbone, real_recipe
from moesaic.model.experiments.real.photographs import CALIBRATION_CROPS, MEASURED, SEEN, calibration_crops, fitted
from moesaic.model.experiments.real.saliency_package import SaliencyNetwork, network_file
from moesaic.model.input_pipeline.held_out import calibration_images, first_images, open_validation
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import CALIBRATION_SCENES
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.model.training import checkpoint

Predictions = Mapping[str, np.ndarray]
"""By task: float [N, C, h, w], or features [N, T, D], of all measured pictures in their order."""


@dataclass(frozen=True)
class Metric:
    """What predictions of a task are judged by. title: with its unit."""

    title: str
    higher_is_better: bool


@dataclass(frozen=True)
class Subject:
    """A network. title: for people. calibration, measured: pictures uint8 [N, h, w, 3], none of which are in both.

    judge: gives each task's metric, as `metrics` names them, of predictions for the measured pictures.
    """

    title: str
    model: M3ViT
    calibration: np.ndarray
    measured: np.ndarray
    metrics: Mapping[str, Metric]
    judge: Callable[[Predictions], dict[str, float]]

    @property
    def configuration(self) -> ModelConfiguration:
        """Of the network."""
        return self.model.configuration

    @cached_property
    def real(self) -> Predictions:
        """What the network in floating point predicts."""
        return {task: predict(self.model, self.measured, task) for task in self.configuration.task_names}

    @cached_property
    def key(self) -> str:
        """A hash of weights and pictures."""
        weights = b"".join(
            name.encode() + value.cpu().numpy().tobytes() for name, value in sorted(self.model.state_dict().items())
        )
        parts = {"weights": weights, "calibration": self.calibration.tobytes(), "measured": self.measured.tobytes()}
        hashes = {name: sha256_of(value) for name, value in parts.items()}
        return content_key({**hashes, "tasks": [task.to_dict() for task in self.configuration.tasks]})


def published_subject() -> Subject:
    """The published DINOv2 of `moesaic real` and its photographs. UserError if the packages that have them are not installed."""
    recipe, path = real_recipe(), network_file()
    height, width = recipe.model.image_height, recipe.model.image_width
    measured = np.stack([fitted(photograph, height, width) for photograph in MEASURED])
    calibration = calibration_crops([photograph.read() for photograph in SEEN], CALIBRATION_CROPS, height, width)
    published = SaliencyNetwork.load(path)

    def judge(predictions: Predictions) -> dict[str, float]:
        maps = published.decode(predictions[FEATURES_TASK], height, width)
        return {FEATURES_TASK: float(np.mean(overlaps(published.run(measured)[0], maps)))}

    return Subject(
        "DINOv2 ViT-S/14, 224x224",
        import_backbone(path, recipe.model, recipe.training.seed),
        calibration,
        measured,
        {FEATURES_TASK: Metric("overlap of saliency", True)},
        judge,
    )


def trained_subject(path: Path, root: Path | None, count: int) -> Subject:
    """A trained network on the first `count` held-out samples of its data set.

    path: its checkpoint. root: of a data set in files, None for rendered scenes. UserError if it has no integer form, or no data.
    """
    state = checkpoint.load(path)
    plain_sizes(state.recipe.model)  # what cannot be compared is said before pictures are read
    recipe = dataclasses.replace(state.recipe, data=dataclasses.replace(state.recipe.data, validation=count))
    data = open_validation(recipe, root)
    measured = first_images(data, count)
    tasks = {task.name: task.definition() for task in recipe.model.tasks_with_truth}
    return Subject(
        path.stem,
        state.build_model().eval(),
        calibration_images(recipe, root, CALIBRATION_SCENES),
        measured,
        {name: Metric(task.metric_name, task.higher_is_better) for name, task in tasks.items()},
        lambda predictions: _judged(predictions, measured, recipe.model, data),
    )


def _judged(
    predictions: Predictions, measured: np.ndarray, configuration: ModelConfiguration, data: Dataset
) -> dict[str, float]:
    places = {image.tobytes(): place for place, image in enumerate(measured)}

    def predicted(images: np.ndarray, task: str) -> np.ndarray:
        return predictions[task][[places[image.tobytes()] for image in images]]

    return {task: found["it"] for task, found in evaluate({"it": predicted}, configuration, data).items()}
