"""I-ViT's integers of a network of ours."""

import torch

from moesaic.model.experiments.ptq.ivit_network import IvitNetwork
from moesaic.model.experiments.ptq.plain_copy import plain_copy
from moesaic.model.experiments.ptq.subjects import Predictions, Subject
from moesaic.model.network.vit import normalise

_BATCH = 4


def ivit_predictions(subject: Subject, float_gelu: bool) -> Predictions:
    """What the network predicts in I-ViT's integers with the ranges of the calibration pictures.

    float_gelu, UserError: see `IvitNetwork`.
    """
    network = IvitNetwork(plain_copy(subject.model), float_gelu)
    calibration, measured = (
        normalise(images, subject.configuration.input).split(_BATCH)
        for images in (subject.calibration, subject.measured)
    )
    network.calibrate(iter(calibration))
    return {
        task: torch.cat([network.predict(part, task) for part in measured]).numpy()
        for task in subject.configuration.task_names
    }
