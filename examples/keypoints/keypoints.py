"""A task: for each of two keypoints, a left and a right one, a map of scores that is highest where it is."""

import numpy as np
import torch.nn.functional as F

from moesaic.model.tasks.metrics import Meter
from moesaic.model.tasks.targets import Truth
from moesaic.model.tasks.task import Task


class PeakDistance(Meter):  # between the peaks of predictions [N, 2, h, w] and targets [N, h, w, 2], in pixels
    sums = ("distances",)

    def __init__(self):
        self.distances = []

    def update(self, predictions, targets):
        for shown, true in zip(np.concatenate(predictions), np.concatenate(np.moveaxis(targets, -1, 1))):
            peaks = [np.unravel_index(part.argmax(), part.shape) for part in (shown, true)]
            self.distances += [np.hypot(*np.subtract(*peaks))] if true.max() > 0 else []

    def result(self):
        return float(np.mean(self.distances)) if self.distances else float("nan")


class Keypoints(Task):
    kind, channels, truth = "keypoints", 2, Truth(np.float32, invalid=-1.0, values=(2,))
    decoding, picture = "values", "heat"
    metric, higher_is_better = "peak distance (pixels)", False

    def loss(self, prediction, target):
        share = target.movedim(-1, 1).clamp(min=0).flatten(2)  # of a pixel in its map, 0 without ground truth
        share = share / share.sum(-1, keepdim=True).clamp(min=1e-6)
        return -(share * F.log_softmax(prediction.flatten(2), -1)).sum(-1).mean()

    def meter(self):
        return PeakDistance()

    mirrored = staticmethod(lambda target: target[..., ::-1])  # left becomes right
