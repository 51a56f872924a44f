"""The trained network in floating point, in the form that a comparison expects."""

from __future__ import annotations

import numpy as np

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.network.vit import M3ViT
from moesaic.sim.measurements.road.comparison import FloatNetwork
from moesaic.spec.heads import is_dense


def float_network(model: M3ViT) -> FloatNetwork:
    """The model as a function of one image and a task; see moesaic.sim.measurements.road.comparison.FloatNetwork."""

    def run(image: np.ndarray, task: str) -> np.ndarray:
        prediction = predict(model, image[None], task)[0]
        if is_dense(model.configuration.task(task).kind):
            return np.moveaxis(prediction, 0, -1)
        return prediction.reshape(1, -1, prediction.shape[-1])

    return run
