"""How much of the published backbone survives int8: alone, beside onnxruntime, after training, and after edits of its weights."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from moesaic.campaign.kept_results import kept_result
from moesaic.model.experiments import onnxruntime_int8
from moesaic.model.experiments.real.edits import EDITS, edited
from moesaic.model.experiments.real.fidelity import (
    decibels,
    float_features,
    integer_features,
    intersection_over_union,
)
from moesaic.model.experiments.real.saliency_package import SaliencyNetwork, network_input
from moesaic.model.finetuning.integer_training import DISTILLING_RATE, distil_in_integers
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import DEFAULT_PTQ, calibrated, integer_network
from moesaic.model.quantisation.scales import Scales
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration

SALIENT = 0.5
"""A pixel is salient if its probability is at least this."""

TRAINED = "trained in integers"
"""Name of the figures after label-free training."""

_DISTILLED_BATCH = 4


@dataclass(frozen=True)
class BackboneStudy:
    """What is measured, on which pictures, and where figures are kept.

    model: the backbone as a dense model. published: the ONNX network that it comes from. measured, calibration: images uint8
    [N, h, w, 3]. pictures: others, to train with in integers, for `distilling_steps` steps. directory: of the kept figures, whose
    files are named by `key`. methods: of onnxruntime's calibration.
    """

    model: M3ViT
    published: SaliencyNetwork
    measured: np.ndarray
    calibration: np.ndarray
    pictures: np.ndarray
    directory: Path
    key: str
    methods: Sequence[str] = onnxruntime_int8.METHODS
    distilling_steps: int = 24
    step: Callable[[str], None] = lambda name: None

    def run(self) -> dict:
        """Every figure: see the functions below. `step` is called with the name of each before it is measured."""
        parts: dict[str, Callable[[], dict]] = {"backbone": self._backbone, TRAINED: self._trained}
        parts |= {f"onnxruntime {method}": lambda method=method: self._onnxruntime(method) for method in self.methods}
        parts |= {f"edit {edit}": lambda edit=edit: self._edit(edit) for edit in EDITS}
        found = {}
        for name, measure in parts.items():
            self.step(name)
            steps = f"-{self.distilling_steps}-steps" if name == TRAINED else ""
            path = self.directory / f"{name.replace(' ', '-')}{steps}-{self.key}.json"
            found[name] = kept_result(path, measure)
        return found

    @cached_property
    def _exact(self) -> np.ndarray:
        """The model's float features of the measured pictures."""
        return float_features(self.model, self.measured)

    @cached_property
    def _published(self) -> tuple[np.ndarray, np.ndarray]:
        """The ONNX network's saliency and features of the measured pictures."""
        return self.published.run(self.measured)

    @cached_property
    def _calibrated(self) -> tuple[M3ViT, Scales]:
        """The model with weights that round as post-training quantisation chooses, and its scales."""
        return calibrated(self.model, self.calibration, DEFAULT_PTQ)

    def _in_integers(self, model: M3ViT) -> tuple[float, list[float]]:
        """Decibels of a model's integer features against float's, and the overlaps of its salient pixels with the ONNX network's."""
        found = integer_features(integer_network(model, self.calibration, scales=self._calibrated[1]), self.measured)
        maps = self.published.decode(found, *self.measured.shape[1:3])
        return decibels(self._exact, found), overlaps(self._published[0], maps)

    def _backbone(self) -> dict:
        """import_difference: largest absolute difference of our float features from the ONNX network's. ptq_db, iou: see `_in_integers`."""
        ptq_db, iou = self._in_integers(self._calibrated[0])
        difference = float(np.abs(self._exact - self._published[1]).max())
        return {"import_difference": difference, "ptq_db": ptq_db, "iou": iou}

    def _trained(self) -> dict:
        """db, iou: as of the backbone, after label-free training in integers; the float network is the one before it."""
        model, scales = copy.deepcopy(self._calibrated[0]), self._calibrated[1]
        training = TrainingConfiguration(self.distilling_steps, _DISTILLED_BATCH, DISTILLING_RATE, warmup=0)
        recipe = Recipe(self.model.configuration, training)
        distil_in_integers(
            model, scales, self.pictures, recipe, self.distilling_steps, teacher=self.model, rate=DISTILLING_RATE
        )
        db, iou = self._in_integers(model)
        return {"db": db, "iou": iou}

    def _onnxruntime(self, method: str) -> dict:
        saliency, features = self._published
        quantised = onnxruntime_int8.quantised(self.published.model, network_input(self.calibration), method)
        maps, found = SaliencyNetwork(quantised).run(self.measured)
        return {"db": decibels(features, found), "iou": overlaps(saliency, maps)}

    def _edit(self, edit: str) -> dict:
        model = edited(self.model, edit)
        network, exact = integer_network(model, self.calibration), float_features(model, self.measured)
        return {"db": decibels(exact, integer_features(network, self.measured))}


def overlaps(exact: np.ndarray, found: np.ndarray) -> list[float]:
    """Intersection over union of the salient pixels of each picture's saliency maps, float [N, h, w] in 0..1."""
    return [intersection_over_union(one >= SALIENT, two >= SALIENT) for one, two in zip(exact, found)]
